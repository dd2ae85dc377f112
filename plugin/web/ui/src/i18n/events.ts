/** What a step of a timeline is, in the reader's language; its details stay as the server tells. */
import de from './events/de.json';
import en from './events/en.json';
import { language } from './i18n';

const kinds: Record<'en' | 'de', Record<string, string>> = { en, de };

/** The text of a kind of event; one that has no text is shown as it is. */
export function eventOf(kind: string): string {
  return Object.hasOwn(en, kind) ? (kinds[language.value][kind] ?? kind) : kind;
}
