import type { JSX } from 'preact';
import { type Disk, address } from '../../api/admin';
import { Problem, Table, bytes, useTold } from './parts';
import { named, w } from './words';

/** How full the disk is, what goes next, and what stays although it is old. */
export function DiskPage(): JSX.Element {
  const { told, problem } = useTold<Disk>(address('disk', {}));
  return (
    <>
      <Problem text={problem} />
      {told && (
        <>
          <Fill disk={told} />
          <div class="halves">
            <section>
              <h2>{w('disk.limits')}</h2>
              {!told.enabled && <p class="fair">{w('disk.off')}</p>}
              <Limits disk={told} />
            </section>
            <section>
              <h2>{w('disk.next')}</h2>
              <Next disk={told} />
              <h2>{w('disk.kept')}</h2>
              <Kept disk={told} />
            </section>
          </div>
        </>
      )}
    </>
  );
}

function Fill({ disk }: { disk: Disk }): JSX.Element {
  const used = disk.total_bytes - disk.free_bytes;
  const percent = Math.round((100 * used) / Math.max(1, disk.total_bytes));
  const said = w('disk.used', { percent, used: bytes(used), total: bytes(disk.total_bytes) });
  const low = (disk.low_percent / 100) * disk.total_bytes;
  const high = (disk.high_percent / 100) * disk.total_bytes;
  return (
    <div class="fill">
      <meter min={0} max={disk.total_bytes} low={low} high={high} optimum={0} value={used}>
        {said}
      </meter>
      <p>
        {said}. {w('disk.floor', { floor: bytes(disk.floor_bytes) })}{' '}
        {disk.high_percent < 100 &&
          w('disk.marks', { high: disk.high_percent, low: disk.low_percent })}
      </p>
    </div>
  );
}

function Limits({ disk }: { disk: Disk }): JSX.Element {
  const taken = (rule: string): number | undefined =>
    disk.taken.find((one) => one.rule === rule)?.bytes;
  return (
    <Table
      caption="disk.limits"
      rows={disk.limits}
      keyOf={(one) => one.rule}
      columns={[
        { title: 'disk.what', cell: (one) => named('rule', one.rule) },
        {
          title: 'disk.days',
          number: true,
          cell: (one) => (one.days === null ? w('disk.ever') : one.days),
        },
        {
          title: 'disk.percent',
          number: true,
          cell: (one) => (one.percent < 100 ? `${one.percent} %` : '–'),
        },
        {
          title: 'disk.takes',
          number: true,
          cell: ({ rule }) => {
            const size = taken(rule);
            return size === undefined ? '–' : bytes(size);
          },
        },
      ]}
    />
  );
}

function Next({ disk }: { disk: Disk }): JSX.Element {
  return (
    <Table
      caption="disk.next"
      rows={disk.deleted}
      keyOf={(one) => one.rule + one.why}
      empty="disk.nothing"
      columns={[
        { title: 'disk.what', cell: (one) => named('rule', one.rule) },
        { title: 'disk.why', cell: (one) => <code>{one.why}</code> },
        { title: 'count', number: true, cell: (one) => one.count },
        { title: 'disk.size', number: true, cell: (one) => bytes(one.bytes) },
      ]}
    />
  );
}

function Kept({ disk }: { disk: Disk }): JSX.Element {
  return (
    <Table
      caption="disk.kept"
      rows={disk.kept.filter((one) => one.studies > 0)}
      keyOf={(one) => one.why}
      empty="disk.none-kept"
      columns={[
        { title: 'disk.why', cell: (one) => named('kept', one.why) },
        { title: 'studies.count', number: true, cell: (one) => one.studies },
        { title: 'disk.size', number: true, cell: (one) => bytes(one.bytes) },
      ]}
    />
  );
}
