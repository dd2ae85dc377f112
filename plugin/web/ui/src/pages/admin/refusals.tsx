import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { type Refused, address } from '../../api/admin';
import { Moment, Problem, Table, useTold } from './parts';
import { named, w } from './words';

const DAYS = ['1', '7', '30'];
const DAY = 86_400_000;

/** Senders that were refused, and why. */
export function RefusalsPage(): JSX.Element {
  const [days, setDays] = useState('1');
  const [now] = useState(() => Date.now());
  const since = new Date(now - Number(days) * DAY).toISOString();
  const { told, problem } = useTold<{ refusals: Refused[] }>(address('refusals', { since }));
  return (
    <>
      <div class="asked" role="group" aria-label={w('rules.since')}>
        {DAYS.map((one) => (
          <button key={one} aria-pressed={one === days} onClick={() => setDays(one)}>
            {w(one === '1' ? 'refusals.day' : 'rules.days', { n: one })}
          </button>
        ))}
      </div>
      <Problem text={problem} />
      <Table
        caption="page.refusals"
        rows={told?.refusals ?? []}
        keyOf={(one) => `${one.sender} ${one.address} ${one.reason} ${one.first_at}`}
        empty="refusals.none"
        columns={[
          { title: 'sender', cell: (one) => one.sender || w('refusals.unnamed') },
          { title: 'refusals.address', cell: (one) => one.address || '–' },
          { title: 'refusals.why', cell: (one) => named('refusal', one.reason) },
          { title: 'count', number: true, cell: (one) => one.count },
          { title: 'refusals.first', cell: (one) => <Moment at={one.first_at} /> },
          { title: 'refusals.last', cell: (one) => <Moment at={one.last_at} /> },
        ]}
      />
    </>
  );
}
