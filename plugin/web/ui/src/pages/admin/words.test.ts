import { describe, expect, it } from 'vitest';
import { language } from '../../i18n/i18n';
import { named, w } from './words';
import de from './words/de.json';
import en from './words/en.json';

const values = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([one]) => one).sort();

describe('the words of administrators', () => {
  it('have the same keys and values in both languages', () => {
    expect(Object.keys(de)).toEqual(Object.keys(en));
    const german = de as Record<string, string>;
    for (const [key, text] of Object.entries(en)) {
      expect(values(german[key] ?? ''), key).toEqual(values(text));
      expect(german[key]?.trim(), key).toBeTruthy();
    }
  });

  it('follow the language, and leave unknown names as they are', () => {
    language.value = 'de';
    expect(w('page.disk')).toBe('Speicher');
    expect(named('state', 'failed')).toBe('fehlgeschlagen');
    expect(named('state', 'toString')).toBe('toString');
    language.value = 'en';
  });
});
