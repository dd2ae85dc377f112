import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import {
  type StudyState,
  type Timeline,
  address,
  redraft,
  retract,
} from '../../api/admin';
import { momentOf } from '../../i18n/dates';
import { eventOf } from '../../i18n/events';
import { Confirm, Mark, Moment, Problem, Table, useDoing, useTold } from './parts';
import { named, w } from './words';

/** Why is there no draft? Studies with where each stands, and the timeline of one. */
export function StudiesPage(): JSX.Element {
  const begun = new URLSearchParams(location.search);
  const [number, setNumber] = useState('');
  const [failed, setFailed] = useState(false);
  const [study, setStudy] = useState<string | null>(begun.get('study'));
  const list = useTold<{ studies: StudyState[] }>(address('studies', { number, failed }));
  const open = (uid: string | null): void => {
    setStudy(uid);
    history.replaceState(null, '', uid ? `?study=${encodeURIComponent(uid)}` : location.pathname);
  };
  return (
    <>
      <Search onSearch={setNumber} failed={failed} onFailed={setFailed} />
      <Problem text={list.problem} />
      <div class={study ? 'beside' : ''}>
        <Studies rows={list.told?.studies ?? []} chosen={study} onOpen={open} />
        {study && <One key={study} study={study} onClose={() => open(null)} changed={list.again} />}
      </div>
    </>
  );
}

interface Searching {
  onSearch: (number: string) => void;
  failed: boolean;
  onFailed: (failed: boolean) => void;
}

function Search({ onSearch, failed, onFailed }: Searching): JSX.Element {
  const [typed, setTyped] = useState('');
  const send = (event: SubmitEvent): void => {
    event.preventDefault();
    onSearch(typed.trim());
  };
  return (
    <form class="asked" role="search" onSubmit={send}>
      <input
        type="search"
        aria-label={w('studies.search')}
        placeholder={w('studies.search')}
        value={typed}
        maxLength={70}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
      <button>{w('search')}</button>
      <label class="line">
        <input
          type="checkbox"
          checked={failed}
          onChange={(event) => onFailed(event.currentTarget.checked)}
        />
        {w('studies.failed')}
      </label>
    </form>
  );
}

interface Listed {
  rows: StudyState[];
  chosen: string | null;
  onOpen: (uid: string) => void;
}

function Studies({ rows, chosen, onOpen }: Listed): JSX.Element {
  return (
    <Table
      caption="page.studies"
      rows={rows}
      keyOf={(one) => one.study_instance_uid}
      columns={[
        {
          title: 'accession',
          cell: (one) => (
            <button
              class="link"
              aria-pressed={one.study_instance_uid === chosen}
              onClick={() => onOpen(one.study_instance_uid)}
            >
              {one.accession_number ?? one.study_instance_uid}
            </button>
          ),
        },
        { title: 'received', cell: (one) => <Moment at={one.last_received_at} /> },
        { title: 'sender', cell: (one) => one.sender ?? '–' },
        { title: 'state', cell: (one) => <Mark state={one.state} text={named('state', one.state)} /> },
        { title: 'verdict', cell: (one) => one.verdict },
      ]}
    />
  );
}

interface Opened {
  study: string;
  onClose: () => void;
  changed: () => void;
}

function One({ study, onClose, changed }: Opened): JSX.Element {
  const { told, problem, again } = useTold<Timeline>(address(`studies/${study}/timeline`, {}));
  const [asking, setAsking] = useState<'redraft' | 'retract' | null>(null);
  const doing = useDoing(() => {
    again();
    changed();
  });
  const act = (reason: string): void => {
    const action = asking === 'retract' ? retract : redraft;
    setAsking(null);
    doing.run(() => action(study, reason));
  };
  return (
    <section class="one-study" aria-label={w('studies.timeline')}>
      <header>
        <h2>{w('studies.timeline')}</h2>
        <button class="plain" aria-label={w('close')} onClick={onClose}>
          ✕
        </button>
      </header>
      <Problem text={doing.problem ?? problem} />
      {told && (
        <>
          <p class="verdict">{told.verdict}</p>
          <p class="quiet uid">{told.study_instance_uid}</p>
          <div class="actions left">
            <a class="button" href={`/study/${encodeURIComponent(study)}`}>
              {w('studies.open')}
            </a>
            <button disabled={doing.busy} onClick={() => setAsking('redraft')}>
              {w('studies.redraft')}
            </button>
            <button
              class="danger"
              disabled={doing.busy || !told.draft || told.draft.retracted}
              onClick={() => setAsking('retract')}
            >
              {w('studies.retract')}
            </button>
          </div>
          <Steps timeline={told} />
        </>
      )}
      {asking && (
        <Confirm
          title={w(`studies.${asking}`)}
          text={w(`studies.${asking}.text`)}
          action={w(`studies.${asking}`)}
          danger={asking === 'retract'}
          why
          onClose={() => setAsking(null)}
          onDone={act}
        />
      )}
    </section>
  );
}

function Steps({ timeline }: { timeline: Timeline }): JSX.Element {
  return (
    <ol class="timeline">
      {timeline.events.map((one, n) => (
        <li key={n} class={one.level}>
          <time dateTime={one.time} class="quiet">
            {momentOf(one.time)}
          </time>
          <span>
            {one.level !== 'info' && <strong>{named('level', one.level)}: </strong>}
            {eventOf(one.kind)} <small class="quiet">{one.message}</small>
          </span>
        </li>
      ))}
    </ol>
  );
}
