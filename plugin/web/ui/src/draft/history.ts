/** Undo and redo of an edited report. */

export interface History<T> {
  readonly past: readonly T[];
  readonly present: T;
  readonly future: readonly T[];
  /** When the present was last typed, in milliseconds. */
  readonly at: number;
}

/** A pause in typing after which the next letter is a step of its own. */
export const PAUSE_MS = 800;

/** Steps that are kept: more than anybody takes back in one report. */
const MOST = 500;

export function begun<T>(present: T): History<T> {
  return { past: [], present, future: [], at: -Infinity };
}

/**
 * Take what was typed: letters without a pause between them are one step.
 *
 * @param whole - Whether it is a step of its own, such as a template.
 */
export function typed<T>(history: History<T>, present: T, now: number, whole = false): History<T> {
  const joins = !whole && history.past.length > 0 && now - history.at < PAUSE_MS;
  const past = joins ? history.past : [...history.past, history.present].slice(-MOST);
  // After a template a letter begins a new step
  return { past, present, future: [], at: whole ? -Infinity : now };
}

export function undone<T>(history: History<T>): History<T> {
  if (history.past.length === 0) return history;
  return {
    past: history.past.slice(0, -1),
    present: history.past[history.past.length - 1] as T,
    future: [history.present, ...history.future],
    at: -Infinity,
  };
}

export function redone<T>(history: History<T>): History<T> {
  const [present, ...future] = history.future;
  if (history.future.length === 0) return history;
  return {
    past: [...history.past, history.present],
    present: present as T,
    future,
    at: -Infinity,
  };
}
