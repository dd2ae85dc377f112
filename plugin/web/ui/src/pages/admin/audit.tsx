import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { type AuditEntry, address } from '../../api/admin';
import { Moment, Problem, Table, useTold } from './parts';
import { named, w } from './words';

const ACTIONS = [
  ...['viewed', 'changed', 'accepted', 'asked', 'retracted', 'drafted', 'received', 'sent'],
  ...['deleted', 'login', 'logout', 'configured', 'trail read', 'started', 'stopped'],
];

interface Chosen {
  person: string;
  study: string;
  action: string;
}

/** Who saw or changed what; to read it is an entry, too. */
export function AuditPage(): JSX.Element {
  const [chosen, setChosen] = useState<Chosen>({ person: '', study: '', action: '' });
  const [before, setBefore] = useState('');
  const path = address('audit', { ...chosen, before });
  const list = useTold<{ entries: AuditEntry[]; next: number | null }>(path);
  const choose = (next: Chosen): void => {
    setBefore('');
    setChosen(next);
  };
  return (
    <>
      <p class="quiet">{w('audit.intro')}</p>
      <Filters onChoose={choose} />
      <Problem text={list.problem} />
      <Entries rows={list.told?.entries ?? []} />
      <div class="actions">
        {before && <button onClick={() => setBefore('')}>{w('newest')}</button>}
        {list.told?.next && (
          <button onClick={() => setBefore(String(list.told?.next ?? ''))}>{w('older')}</button>
        )}
      </div>
    </>
  );
}

function Filters({ onChoose }: { onChoose: (chosen: Chosen) => void }): JSX.Element {
  const send = (event: SubmitEvent): void => {
    event.preventDefault();
    const typed = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string): string => {
      const value = typed.get(name);
      return typeof value === 'string' ? value.trim() : '';
    };
    onChoose({ person: text('person'), study: text('study'), action: text('action') });
  };
  return (
    <form class="asked" role="search" onSubmit={send}>
      <input name="person" maxLength={128} aria-label={w('audit.who')} placeholder={w('audit.who')} />
      <input name="study" maxLength={70} aria-label={w('audit.study')} placeholder={w('audit.study')} />
      <select name="action" aria-label={w('audit.action')}>
        <option value="">{w('audit.any')}</option>
        {ACTIONS.map((one) => (
          <option key={one} value={one}>
            {named('did', one)}
          </option>
        ))}
      </select>
      <button>{w('search')}</button>
    </form>
  );
}

function Entries({ rows }: { rows: AuditEntry[] }): JSX.Element {
  return (
    <Table
      caption="page.audit"
      rows={rows}
      keyOf={(one) => one.position}
      columns={[
        { title: 'audit.number', number: true, cell: (one) => one.position },
        { title: 'audit.time', cell: (one) => <Moment at={one.time} /> },
        { title: 'audit.who', cell: ({ entry }) => whoOf(entry.who) },
        { title: 'audit.action', cell: ({ entry }) => named('did', entry.action) },
        { title: 'audit.study', cell: ({ entry }) => studyOf(entry.study) },
        {
          title: 'audit.detail',
          cell: ({ entry }) => (
            <>
              {entry.outcome ? <strong class="poor">{w('audit.failed')} </strong> : null}
              {entry.detail}
            </>
          ),
        },
      ]}
    />
  );
}

function whoOf(who: AuditEntry['entry']['who']): string {
  return who.address ? `${who.name} · ${who.address}` : who.name;
}

function studyOf(study: AuditEntry['entry']['study']): JSX.Element | string {
  if (!study) return '';
  const uid = study.study_instance_uid;
  return (
    <a href={`/admin/studies?study=${encodeURIComponent(uid)}`} title={uid}>
      {study.accession_number ?? uid}
    </a>
  );
}
