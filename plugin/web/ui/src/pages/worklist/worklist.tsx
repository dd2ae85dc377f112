import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { live } from '../../api/events';
import { useShortcuts } from '../../components/keys';
import { t } from '../../i18n/i18n';
import { told } from '../../i18n/refusals';
import { Filters } from './filters';
import { type List, opened, useList } from './list';
import { StudyRow } from './row';
import { type Chosen, chosenOf, filterOf, queryOf } from './views';
import './worklist.css';

/** A pause in typing after which the search is asked, in milliseconds. */
const PAUSE = 250;

/** What waits for a reader, most urgent first. */
export function WorklistPage(): JSX.Element {
  const [chosen, setChosen] = useState(() => chosenOf(location.search));
  const search = useRef<HTMLInputElement>(null);
  const table = useRef<HTMLTableSectionElement>(null);
  const list = useList(filterOf(useSettled(chosen)));
  const choose = (change: Partial<Chosen>): void => {
    const next = { ...chosen, ...change };
    setChosen(next);
    history.replaceState(null, '', `/${queryOf(next)}`);
  };
  useShortcuts([
    { keys: ['j', 'ArrowDown'], text: 'worklist.key.down', action: () => move(table.current, 1) },
    { keys: ['k', 'ArrowUp'], text: 'worklist.key.up', action: () => move(table.current, -1) },
    { keys: ['/'], text: 'worklist.key.search', action: () => search.current?.focus() },
  ]);
  useEffect(() => {
    linkOf(table.current, opened.value)?.focus();
  }, [list.shown === null]);
  const leave = (event: KeyboardEvent): void => {
    if (event.key === 'Enter' || event.key === 'Escape') move(table.current, 0);
  };
  return (
    <div class="worklist" onKeyDown={(event) => event.target === search.current && leave(event)}>
      <h1 class="hidden">{t('worklist.title')}</h1>
      <Filters
        chosen={chosen}
        choose={choose}
        counts={list.shown?.counts ?? {}}
        models={modelsOf(list, chosen.model)}
        search={search}
      />
      <Table list={list} body={table} />
      <Footer list={list} />
    </div>
  );
}

function Table({ list, body }: { list: List; body: { current: HTMLTableSectionElement | null } }) {
  return (
    <div class="scroll" tabIndex={-1}>
      <table>
        <thead>
          <tr>
            <th>{t('worklist.urgency')}</th>
            <th class="number">{t('worklist.waiting')}</th>
            <th>{t('worklist.patient')}</th>
            <th>{t('worklist.study')}</th>
            <th>{t('worklist.model')}</th>
            <th>{t('worklist.state')}</th>
          </tr>
        </thead>
        <tbody ref={body}>
          {list.shown?.studies.map((row) => (
            <StudyRow key={row.study_instance_uid} row={row} />
          ))}
        </tbody>
      </table>
      {list.shown?.studies.length === 0 && <p class="empty">{t('worklist.empty')}</p>}
      {list.shown?.next && (
        <p class="empty">
          <button onClick={list.more}>{t('worklist.more')}</button>
        </p>
      )}
    </div>
  );
}

function Footer({ list }: { list: List }): JSX.Element {
  const problem = list.problem ? told(list.problem) : live.value ? null : t('worklist.not-live');
  return (
    <footer class="quiet">
      <span role="status">
        {list.shown && t('worklist.shown', { n: list.shown.studies.length })}
      </span>
      <span role="alert" class={problem ? 'poor' : ''}>
        {problem}
      </span>
      <span class="grow" />
      <span>
        <kbd>j</kbd> <kbd>k</kbd> {t('worklist.key.move')} · <kbd>↵</kbd> {t('worklist.key.open')} ·{' '}
        <kbd>/</kbd> {t('worklist.key.search')}
      </span>
    </footer>
  );
}

/** The filter, once nobody has typed for a moment. */
function useSettled(chosen: Chosen): Chosen {
  const [settled, setSettled] = useState(chosen);
  useEffect(() => {
    if (chosen.search === settled.search) {
      setSettled(chosen);
      return;
    }
    const waiting = setTimeout(() => setSettled(chosen), PAUSE);
    return () => clearTimeout(waiting);
  }, [JSON.stringify(chosen)]);
  return settled;
}

/** Models that stand in the list, and the one that was asked for. */
function modelsOf(list: List, chosen: string): string[] {
  const named = list.shown?.studies.map((row) => row.model) ?? [];
  return [...new Set([...named, chosen])].filter((one): one is string => Boolean(one)).sort();
}

/** Move the focus by so many rows; from nowhere it goes to the first. */
function move(table: HTMLTableSectionElement | null, by: number): void {
  const links = [...(table?.querySelectorAll<HTMLElement>('[data-study]') ?? [])];
  const now = links.findIndex((one) => one.closest('tr')?.contains(document.activeElement));
  const next = now < 0 ? links[0] : links[Math.min(links.length - 1, Math.max(0, now + by))];
  next?.focus();
}

function linkOf(table: HTMLTableSectionElement | null, study: string | null): HTMLElement | null {
  if (!study) return null;
  return table?.querySelector<HTMLElement>(`[data-study="${CSS.escape(study)}"]`) ?? null;
}
