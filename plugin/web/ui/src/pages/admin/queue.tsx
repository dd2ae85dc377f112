import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { type Queue, address } from '../../api/admin';
import { t } from '../../i18n/i18n';
import { momentOf } from '../../i18n/dates';
import { Mark, Problem, Table, lasting, useTold } from './parts';
import { named, w } from './words';

const URGENCIES = ['stat', 'high', 'routine', 'low'] as const;
const STATES = ['collecting', 'due', 'running', 'postponed'] as const;
/** Milliseconds after which the page looks again. */
const AGAIN = 10_000;

/** What waits, what runs, and what the last day brought. */
export function QueuePage(): JSX.Element {
  const { told, problem, again } = useTold<Queue>(address('queue', {}));
  useEffect(() => {
    const timer = setInterval(again, AGAIN);
    return () => clearInterval(timer);
  }, []);
  return (
    <>
      <Problem text={problem ?? told?.alert ?? null} />
      {told && (
        <div class="halves">
          <section>
            <h2>{w('queue.jobs')}</h2>
            <Jobs queue={told} />
          </section>
          <section>
            <h2>{w('queue.hours')}</h2>
            <Hours hours={told.hours} />
          </section>
          <section>
            <h2>{w('queue.deliveries')}</h2>
            <OpenDeliveries queue={told} />
          </section>
          <section>
            <h2>{w('queue.processes')}</h2>
            <Processes queue={told} />
          </section>
        </div>
      )}
    </>
  );
}

function Jobs({ queue }: { queue: Queue }): JSX.Element {
  const count = (state: string, urgency: string): number =>
    queue.jobs.find((one) => one.state === state && one.urgency === urgency)?.count ?? 0;
  const oldest = (urgency: string): number =>
    queue.oldest_due.find((one) => one.urgency === urgency)?.seconds ?? 0;
  return (
    <Table
      caption="queue.jobs"
      rows={URGENCIES}
      keyOf={(one) => one}
      columns={[
        { title: 'urgency', cell: (one) => named('urgency', one) },
        ...STATES.map((state) => ({
          title: `job.${state}` as const,
          number: true,
          cell: (one: string) => count(state, one) || '–',
        })),
        {
          title: 'queue.longest',
          number: true,
          cell: (one) => (oldest(one) > 0 ? lasting(oldest(one)) : '–'),
        },
      ]}
    />
  );
}

function OpenDeliveries({ queue }: { queue: Queue }): JSX.Element {
  const oldest = (name: string): number =>
    queue.oldest_delivery.find((one) => one.destination === name)?.seconds ?? 0;
  return (
    <Table
      caption="queue.deliveries"
      rows={queue.deliveries}
      keyOf={(one) => `${one.destination} ${one.state}`}
      empty="queue.delivered"
      columns={[
        {
          title: 'destination',
          cell: (one) => <a href={`/admin/deliveries?state=${one.state}`}>{one.destination}</a>,
        },
        { title: 'state', cell: (one) => <Mark state={one.state} text={named('state', one.state)} /> },
        { title: 'count', number: true, cell: (one) => one.count },
        {
          title: 'queue.longest',
          number: true,
          cell: (one) => (oldest(one.destination) > 0 ? lasting(oldest(one.destination)) : '–'),
        },
      ]}
    />
  );
}

function Processes({ queue }: { queue: Queue }): JSX.Element {
  return (
    <Table
      caption="queue.processes"
      rows={queue.processes}
      keyOf={(one) => `${one.host} ${one.pid}`}
      columns={[
        { title: 'queue.part', cell: (one) => one.part },
        { title: 'queue.host', cell: (one) => one.host },
        { title: 'queue.pid', number: true, cell: (one) => one.pid },
        { title: 'state', cell: (one) => <Mark state={one.state} text={named('state', one.state)} /> },
      ]}
    />
  );
}

const WIDTH = 480;
const HEIGHT = 120;

/** Studies and drafts hour by hour; the figures stand in a table for whoever sees no picture. */
function Hours({ hours }: { hours: Queue['hours'] }): JSX.Element {
  const most = Math.max(1, ...hours.map((one) => Math.max(one.studies, one.drafts)));
  const step = WIDTH / Math.max(1, hours.length);
  const bar = (n: number): number => (n / most) * HEIGHT;
  const total = (of: 'studies' | 'drafts'): number => hours.reduce((sum, one) => sum + one[of], 0);
  const summary = w('queue.sum', { studies: total('studies'), drafts: total('drafts') });
  return (
    <figure class="hours">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT + 1}`} role="img" aria-label={summary}>
        {hours.map((one, n) => (
          <g key={one.begins}>
            <title>
              {`${momentOf(one.begins)}: ${w('queue.sum', { studies: one.studies, drafts: one.drafts })}`}
            </title>
            <rect class="hit" x={n * step} y={0} width={step} height={HEIGHT} />
            <rect
              class="studies"
              x={n * step + 2}
              y={HEIGHT - bar(one.studies)}
              width={step / 2 - 2}
              height={bar(one.studies)}
            />
            <rect
              class="drafts"
              x={n * step + step / 2}
              y={HEIGHT - bar(one.drafts)}
              width={step / 2 - 2}
              height={bar(one.drafts)}
            />
          </g>
        ))}
        <line x1={0} x2={WIDTH} y1={HEIGHT + 0.5} y2={HEIGHT + 0.5} />
      </svg>
      <div class="axis quiet">
        <span>{hours[0] && t('time.hours', { n: hours.length })}</span>
        <span>{w('queue.most', { n: most })}</span>
        <span>{w('now')}</span>
      </div>
      <figcaption>
        <span class="key studies" /> {w('queue.studies')} <span class="key drafts" />{' '}
        {w('queue.drafts')} · {summary}
      </figcaption>
    </figure>
  );
}
