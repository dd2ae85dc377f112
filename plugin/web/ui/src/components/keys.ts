/**
 * Keys of a page: one letter does one thing, unless somebody is typing.
 *
 * Whoever uses speech input switches them off (WCAG 2.2, 2.1.4): stray words would press them.
 */
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Key } from '../i18n/i18n';

export interface Shortcut {
  /** As KeyboardEvent.key names them. */
  keys: readonly string[];
  /** What it does, for the help. */
  text: Key;
  action: () => void;
  /** Whether it needs Control (or Command), and then works while typing too. */
  control?: boolean;
  /** Whether Shift must be held; unsaid, it does not matter. */
  shift?: boolean;
  /** Whether it does anything at this moment; else the key is the browser's. */
  when?: () => boolean;
}

const STORED = 'ctscribe.single-keys';

export const singleKeys = signal(localStorage.getItem(STORED) !== 'off');

/** The keys that work at present, for the help. */
export const present = signal<readonly Shortcut[]>([]);

export function switchSingleKeys(on: boolean): void {
  singleKeys.value = on;
  localStorage.setItem(STORED, on ? 'on' : 'off');
}

/** The shortcut that a key press means. */
export function meant(event: KeyboardEvent, all: readonly Shortcut[]): Shortcut | undefined {
  const control = event.ctrlKey || event.metaKey;
  if (event.altKey || event.defaultPrevented) return undefined;
  if (!control && (!singleKeys.value || isTyping(event.target))) return undefined;
  return all.find(
    (one) =>
      one.keys.includes(event.key) &&
      (one.control ?? false) === control &&
      (one.shift === undefined || one.shift === event.shiftKey) &&
      (one.when?.() ?? true),
  );
}

/** These keys work while the component stands on the page and no dialogue lies over it. */
export function useShortcuts(all: readonly Shortcut[]): void {
  const newest = useRef(all);
  newest.current = all;
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (document.querySelector('dialog[open]')) return;
      const shortcut = meant(event, newest.current);
      if (!shortcut) return;
      event.preventDefault();
      shortcut.action();
    };
    addEventListener('keydown', press);
    present.value = [...present.value, ...all];
    return () => {
      removeEventListener('keydown', press);
      present.value = present.value.filter((one) => !all.includes(one));
    };
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest('input, textarea, select') !== null;
}
