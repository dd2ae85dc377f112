import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type Replay, type Rules, address, replay } from '../../api/admin';
import { Moment, Problem, Table, useDoing, useTold } from './parts';
import { w } from './words';

const DAYS = ['1', '7', '30'];
const DAY = 86_400_000;

/** The rules as they are, and what others would have done with past studies. */
export function RulesPage(): JSX.Element {
  const { told, problem } = useTold<Rules>(address('rules', {}));
  const [text, setText] = useState('');
  const [days, setDays] = useState('7');
  const [found, setFound] = useState<Replay | null>(null);
  const doing = useDoing(() => undefined);
  useEffect(() => {
    if (told) setText(told.text);
  }, [told]);
  const tryOut = (event: SubmitEvent): void => {
    event.preventDefault();
    const since = new Date(Date.now() - Number(days) * DAY).toISOString();
    doing.run(async () => setFound(await replay(text, since)));
  };
  return (
    <>
      <p class="quiet">{w('rules.intro', { digest: told?.digest ?? '' })}</p>
      <form class="rules" onSubmit={tryOut}>
        <label class="field">
          {w('rules.text')}
          <textarea
            rows={16}
            spellcheck={false}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <div class="actions left">
          <label class="line">
            {w('rules.since')}
            <select value={days} onChange={(event) => setDays(event.currentTarget.value)}>
              {DAYS.map((one) => (
                <option key={one} value={one}>
                  {w(one === '1' ? 'rules.day' : 'rules.days', { n: one })}
                </option>
              ))}
            </select>
          </label>
          <button class="main" disabled={doing.busy}>
            {w(doing.busy ? 'rules.trying' : 'rules.try')}
          </button>
        </div>
      </form>
      <Problem text={doing.problem ?? problem} />
      {found && <Outcome found={found} />}
    </>
  );
}

function Outcome({ found }: { found: Replay }): JSX.Element {
  return (
    <section>
      <p role="status">
        {w('rules.outcome', { n: found.changed.length, of: found.judged })}
        {found.gone > 0 && ` ${w('rules.gone', { n: found.gone })}`}
      </p>
      <Table
        caption="rules.changed"
        rows={found.changed}
        keyOf={(one) => one.study + one.time}
        empty="rules.same"
        columns={[
          { title: 'received', cell: (one) => <Moment at={one.time} /> },
          { title: 'accession', cell: (one) => one.study },
          { title: 'sender', cell: (one) => one.sender ?? '–' },
          { title: 'rules.now', cell: (one) => one.now },
          { title: 'rules.new', cell: (one) => one.new },
        ]}
      />
    </section>
  );
}
