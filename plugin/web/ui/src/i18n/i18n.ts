/** The words of the pages, in the language of the reader. */
import { signal } from '@preact/signals';
import { ask } from '../api/client';
import de from './de.json';
import en from './en.json';

export type Language = 'en' | 'de';
export type Key = keyof typeof en;

const words: Record<Language, Record<Key, string>> = { en, de };

/** What each language calls itself. */
export const LANGUAGES: Record<Language, string> = { en: 'English', de: 'Deutsch' };

/** Texts change at once where it is set: every page that calls `t` follows. */
export const language = signal<Language>(preferred(navigator.languages));

/** Speak a language from now on; the server keeps it for the reader's next session. */
export function chooseLanguage(code: string): void {
  if (!isLanguage(code)) return;
  language.value = code;
  ask('PUT', '/api/session/language', { language: code }).catch(() => undefined);
}

export function isLanguage(code: string | null | undefined): code is Language {
  return code !== null && code !== undefined && Object.hasOwn(words, code);
}

/** The first language that the pages are written in; English where there is none. */
export function preferred(languages: readonly string[]): Language {
  const known = languages.map((one) => one.slice(0, 2)).find((one) => one in words);
  return known === 'de' ? 'de' : 'en';
}

/** The text of a key; `{name}` in it is replaced by that value. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return filled(words[language.value][key], values);
}

/** A text with its values in the place of their names. */
export function filled(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) =>
    name in values ? String(values[name]) : whole,
  );
}

/** What a section of the report is called on the page; what is stored keeps its own title. */
export function headingOf(section: { heading: string; title: string }): string {
  const key = `heading.${section.heading}`;
  return isKey(key) ? t(key) : section.title;
}

/** Whether a text is a key: for keys that are made of the name of a state. */
export function isKey(text: string): text is Key {
  return Object.hasOwn(en, text);
}
