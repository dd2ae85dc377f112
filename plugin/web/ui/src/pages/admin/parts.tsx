/** What the administrator's pages are made of: what was told, tables, and asking why. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ask } from '../../api/client';
import { Dialog } from '../../components/dialog';
import { momentOf } from '../../i18n/dates';
import { t } from '../../i18n/i18n';
import { type Word, w } from './words';

export interface Told<T> {
  told: T | null;
  problem: string | null;
  /** Ask the server once more. */
  again: () => void;
}

/** What the server tells at an address; null asks nothing. */
export function useTold<T>(path: string | null): Told<T> {
  const [told, setTold] = useState<T | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let wanted = true;
    if (path === null) {
      setTold(null);
      return undefined;
    }
    ask<T>('GET', path).then(
      (found) => {
        if (!wanted) return;
        setTold(found);
        setProblem(null);
      },
      (error: unknown) => {
        if (wanted) setProblem(messageOf(error));
      },
    );
    return () => {
      wanted = false;
    };
  }, [path, turn]);
  return { told, problem, again: () => setTurn((before) => before + 1) };
}

export interface Doing {
  busy: boolean;
  problem: string | null;
  run: (action: () => Promise<void>) => void;
}

/** Something that is done at the server, one at a time; `after` follows where it worked. */
export function useDoing(after: () => void): Doing {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const run = (action: () => Promise<void>): void => {
    setBusy(true);
    setProblem(null);
    action()
      .then(after, (error: unknown) => setProblem(messageOf(error)))
      .finally(() => setBusy(false));
  };
  return { busy, problem, run };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function Problem({ text }: { text: string | null }): JSX.Element {
  return (
    <p role="alert" class="problem-line">
      {text}
    </p>
  );
}

export interface Column<T> {
  title: Word;
  cell: (row: T) => ComponentChildren;
  number?: boolean;
}

interface TableOf<T> {
  caption: Word;
  columns: Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string | number;
  empty?: Word;
}

/** A plain table; without rows it says so. */
export function Table<T>({ caption, columns, rows, keyOf, empty }: TableOf<T>): JSX.Element {
  return (
    <div class="table" tabIndex={0} role="region" aria-label={w(caption)}>
      <table>
        <caption class="hidden">{w(caption)}</caption>
        <thead>
          <tr>
            {columns.map((one) => (
              <th key={one.title} scope="col" class={one.number ? 'number' : ''}>
                {w(one.title)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map((one) => (
                <td key={one.title} class={one.number ? 'number' : ''}>
                  {one.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <p class="empty">{w(empty ?? 'nothing')}</p>}
    </div>
  );
}

interface Asked {
  title: string;
  text: string;
  action: string;
  danger?: boolean;
  /** Whether a reason is asked for. */
  why?: boolean;
  onClose: () => void;
  onDone: (reason: string) => void;
}

/** Ask once more before something is done, and perhaps why: for the audit trail. */
export function Confirm({ title, text, action, danger, why, onClose, onDone }: Asked): JSX.Element {
  const [reason, setReason] = useState('');
  const send = (event: SubmitEvent): void => {
    event.preventDefault();
    onDone(reason);
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={send}>
        <p>{text}</p>
        {why && (
          <label class="field">
            {w('reason')}
            <input
              value={reason}
              maxLength={1000}
              onInput={(event) => setReason(event.currentTarget.value)}
            />
          </label>
        )}
        <div class="actions">
          <button type="button" onClick={onClose}>
            {t('dialog.cancel')}
          </button>
          <button class={danger ? 'danger' : 'main'}>{action}</button>
        </div>
      </form>
    </Dialog>
  );
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Bytes in powers of ten, as disks are sold. */
export function bytes(size: number): string {
  const power = size < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(size) / 3));
  const shown = size / 1000 ** power;
  return `${power === 0 ? shown : shown.toFixed(1)} ${UNITS[power] ?? ''}`;
}

/** Seconds as a person says them. */
export function lasting(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return t('time.minutes', { n: Math.round(seconds / 60) });
  if (seconds < 172800) return t('time.hours', { n: Math.round(seconds / 3600) });
  return t('time.days', { n: Math.round(seconds / 86400) });
}

/** A moment that stays in one line. */
export function Moment({ at }: { at: string }): JSX.Element {
  return <time dateTime={at}>{momentOf(at)}</time>;
}

/** A mark whose colour says again what its word says. */
export function Mark({ state, text }: { state: string; text: string }): JSX.Element {
  return <span class={`mark ${state}`}>{text}</span>;
}
