/** The words of the administrator's pages: they are loaded with these pages only. */
import { filled, language } from '../../i18n/i18n';
import de from './words/de.json';
import en from './words/en.json';

export type Word = keyof typeof en;

const words: Record<'en' | 'de', Record<Word, string>> = { en, de };

/** The text of a key in the reader's language; `{name}` in it is replaced by that value. */
export function w(key: Word, values: Record<string, string | number> = {}): string {
  return filled(words[language.value][key], values);
}

/** The text of a name that the server gave; one that has no text is shown as it is. */
export function named(of: string, name: string): string {
  const key = `${of}.${name}`;
  return Object.hasOwn(en, key) ? w(key as Word) : name;
}
