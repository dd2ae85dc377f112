import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { address } from '../../api/admin';
import { SCOPES, type Scope, type Token, makeToken, removeToken } from '../../api/people';
import { Dialog } from '../../components/dialog';
import { dayOf } from '../../i18n/dates';
import { Ask, Choices, Field, textOf } from './asking';
import { Confirm, Problem, Table, useDoing, useTold } from './parts';
import { type Word, w } from './words';

/** Which programs have a token; a new one is shown once. */
export function TokensPart(): JSX.Element {
  const { told, problem, again } = useTold<{ tokens: Token[] }>(address('tokens', {}));
  const [asking, setAsking] = useState<Token | 'make' | null>(null);
  const [made, setMade] = useState<string | null>(null);
  const doing = useDoing(again);
  const close = (): void => setAsking(null);
  const make = (typed: FormData): void => {
    close();
    const scopes = SCOPES.filter((one) => typed.getAll('scope').includes(one));
    const days = Number(textOf(typed, 'days'));
    doing.run(async () => setMade(await makeToken(textOf(typed, 'name'), scopes, days)));
  };
  const remove = (token: Token): void => {
    close();
    doing.run(() => removeToken(token.name));
  };
  return (
    <section>
      <h2>{w('tokens')}</h2>
      <Problem text={doing.problem ?? problem} />
      {told && <Known tokens={told.tokens} onRemove={setAsking} />}
      <div class="actions">
        <button disabled={doing.busy} onClick={() => setAsking('make')}>
          {w('tokens.make')}
        </button>
      </div>
      {asking === 'make' && (
        <Ask title={w('tokens.make')} onClose={close} onSend={make}>
          <Field name="name" label="tokens.program" maxLength={64} required />
          <Choices label="tokens.scopes" name="scope" all={SCOPES} given={[]} textOf={scopeOf} />
          <Field
            name="days"
            label="tokens.days"
            type="number"
            min={1}
            max={3650}
            value="365"
            required
          />
        </Ask>
      )}
      {asking !== null && asking !== 'make' && (
        <Confirm
          title={w('tokens.remove')}
          text={w('tokens.remove.text', { name: asking.name })}
          action={w('tokens.remove')}
          danger
          onClose={close}
          onDone={() => remove(asking)}
        />
      )}
      {made && (
        <Dialog title={w('tokens.made')} onClose={() => setMade(null)}>
          <p>{w('tokens.made.text')}</p>
          <p>
            <code>{made}</code>
          </p>
        </Dialog>
      )}
    </section>
  );
}

interface Listed {
  tokens: Token[];
  onRemove: (token: Token) => void;
}

function Known({ tokens, onRemove }: Listed): JSX.Element {
  return (
    <Table
      caption="tokens"
      rows={tokens}
      keyOf={(one) => one.name}
      empty="tokens.none"
      columns={[
        { title: 'tokens.program', cell: (one) => one.name },
        { title: 'tokens.scopes', cell: (one) => one.scopes.map(scopeOf).join(', ') },
        { title: 'tokens.made-by', cell: (one) => one.made_by },
        { title: 'tokens.ends', cell: (one) => dayOf(one.ends_at) },
        { title: 'tokens.used', cell: (one) => (one.used_at ? dayOf(one.used_at) : '–') },
        {
          title: 'action',
          cell: (one) => <button onClick={() => onRemove(one)}>{w('tokens.remove')}</button>,
        },
      ]}
    />
  );
}

function scopeOf(scope: Scope): string {
  return w(`scope.${scope}` as Word);
}
