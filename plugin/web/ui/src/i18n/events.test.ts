import { expect, it } from 'vitest';
import source from '../../../../state/kinds.py?raw';
import { eventOf } from './events';
import de from './events/de.json';
import en from './events/en.json';
import { language } from './i18n';

const KINDS = [...source.matchAll(/^ {4}[A-Z_]+ = "([^"]+)"$/gm)].map(([, kind = '']) => kind);

it('each kind of event has its text in both languages', () => {
  expect(KINDS.length).toBeGreaterThan(40);
  for (const texts of [de, en] as Record<string, string>[]) {
    expect(Object.keys(texts)).toEqual(KINDS);
    for (const kind of KINDS) expect(texts[kind]?.trim(), kind).toBeTruthy();
  }
  for (const kind of KINDS) {
    expect((de as Record<string, string>)[kind], kind).not.toBe((en as Record<string, string>)[kind]);
  }
});

it('a kind that is unknown is shown as it is', () => {
  language.value = 'de';
  expect(eventOf('drafted')).toBe('Entwurf geschrieben');
  expect(eventOf('toString')).toBe('toString');
  language.value = 'en';
});
