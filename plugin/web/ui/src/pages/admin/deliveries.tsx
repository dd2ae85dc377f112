import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { type Delivery, address, retry } from '../../api/admin';
import { Mark, Moment, Problem, Table, useDoing, useTold } from './parts';
import { named, w } from './words';

const STATES = ['failed', 'pending', 'sent', 'proved', 'accepted', 'cancelled'] as const;

/** Drafts on their way: what failed, what waits, and another attempt. */
export function DeliveriesPage(): JSX.Element {
  const begun = new URLSearchParams(location.search).get('state') ?? 'failed';
  const [state, setState] = useState(begun);
  const [before, setBefore] = useState('');
  const path = address('deliveries', { state, before });
  const list = useTold<{ deliveries: Delivery[]; next: number | null }>(path);
  const doing = useDoing(list.again);
  const choose = (wanted: string): void => {
    setBefore('');
    setState(wanted);
  };
  return (
    <>
      <div class="asked" role="group" aria-label={w('state')}>
        {STATES.map((one) => (
          <button key={one} aria-pressed={one === state} onClick={() => choose(one)}>
            {named('state', one)}
          </button>
        ))}
        <button aria-pressed={state === ''} onClick={() => choose('')}>
          {w('all')}
        </button>
      </div>
      <Problem text={doing.problem ?? list.problem} />
      <Deliveries rows={list.told?.deliveries ?? []} busy={doing.busy} run={doing.run} />
      <div class="actions">
        {before && <button onClick={() => setBefore('')}>{w('newest')}</button>}
        {list.told?.next && (
          <button onClick={() => setBefore(String(list.told?.next ?? ''))}>{w('older')}</button>
        )}
      </div>
    </>
  );
}

interface Listed {
  rows: Delivery[];
  busy: boolean;
  run: (action: () => Promise<void>) => void;
}

function Deliveries({ rows, busy, run }: Listed): JSX.Element {
  return (
    <Table
      caption="page.deliveries"
      rows={rows}
      keyOf={(one) => one.id}
      empty="deliveries.none"
      columns={[
        {
          title: 'accession',
          cell: (one) => (
            <a href={`/admin/studies?study=${encodeURIComponent(one.study_instance_uid)}`}>
              {one.accession_number ?? one.study_instance_uid}
            </a>
          ),
        },
        { title: 'deliveries.what', cell: whatOf },
        { title: 'destination', cell: (one) => one.destination },
        { title: 'state', cell: (one) => <Mark state={one.state} text={named('state', one.state)} /> },
        { title: 'attempts', number: true, cell: (one) => one.attempts },
        { title: 'deliveries.when', cell: (one) => <Moment at={one.proved_at ?? one.not_before} /> },
        { title: 'deliveries.why', cell: (one) => one.last_error ?? '' },
        {
          title: 'action',
          cell: (one) =>
            one.state !== 'cancelled' && (
              <button disabled={busy} onClick={() => run(() => retry(one.id))}>
                {w('deliveries.retry')}
              </button>
            ),
        },
      ]}
    />
  );
}

function whatOf(one: Delivery): string {
  const key = one.rejection_note ? 'deliveries.note' : 'deliveries.draft';
  return w(key, { n: one.revision });
}
