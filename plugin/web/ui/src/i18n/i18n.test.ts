import { afterEach, describe, expect, it } from 'vitest';
import de from './de.json';
import en from './en.json';
import { headingOf, isKey, language, preferred, t } from './i18n';

const names = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([one]) => one).sort();

describe('texts', () => {
  afterEach(() => {
    language.value = 'en';
  });

  it('have the same keys in every language, in order', () => {
    expect(Object.keys(de)).toEqual(Object.keys(en));
  });

  it.each(Object.keys(en))('%s names the same values, and says something', (key) => {
    const [one, other] = [en, de].map((texts) => (texts as Record<string, string>)[key] ?? '');
    expect(names(other ?? '')).toEqual(names(one ?? ''));
    expect(other?.trim()).toBeTruthy();
  });

  it('follow the language and take values', () => {
    expect(t('viewer.image', { number: 3, of: 9 })).toBe('Image 3 of 9');
    language.value = 'de';
    expect(t('viewer.image', { number: 3, of: 9 })).toBe('Bild 3 von 9');
  });

  it('name the sections of a report, and leave unknown ones as they are stored', () => {
    language.value = 'de';
    expect(headingOf({ heading: 'IMPRESSION', title: 'Impression' })).toBe('Beurteilung');
    expect(headingOf({ heading: 'ADDENDUM', title: 'Addendum' })).toBe('Addendum');
  });

  it('are chosen by what the browser prefers', () => {
    expect(preferred(['fr', 'de-AT', 'en'])).toBe('de');
    expect(preferred(['fr'])).toBe('en');
    expect(isKey('viewer.image')).toBe(true);
    expect(isKey('toString')).toBe(false);
  });
});
