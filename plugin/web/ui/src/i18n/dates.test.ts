import { beforeEach, describe, expect, it } from 'vitest';
import { dayOf, momentOf, nameOf, since, yearsBetween } from './dates';
import { language } from './i18n';

describe('dates and names', () => {
  beforeEach(() => {
    language.value = 'en';
  });

  it('read both ways of writing a day', () => {
    expect(dayOf('20260201')).toBe('1 Feb 2026');
    expect(dayOf('2026-02-01')).toBe('1 Feb 2026');
    expect(dayOf('soon')).toBe('');
    expect(momentOf(null)).toBe('');
    language.value = 'de';
    expect(dayOf('20260201')).toBe('01.02.2026');
  });

  it.each([
    ['2000-03-02', '2026-03-01', 25],
    ['2000-03-02', '2026-03-02', 26],
    [null, '2026-03-02', null],
  ])('years from %s to %s: %s', (birth, day, years) => {
    expect(yearsBetween(birth, day)).toBe(years);
  });

  it.each([
    [59, '59 min'],
    [60, '1 h'],
    [47 * 60, '47 h'],
    [48 * 60, '2 d'],
    [-5, '0 min'],
  ])('%d minutes ago is %s', (minutes, text) => {
    const now = Date.parse('2026-11-28T12:00:00Z');
    expect(since(new Date(now - minutes * 60_000).toISOString(), now)).toBe(text);
  });

  it('write a DICOM name', () => {
    expect(nameOf('DOE^JANE^^Dr')).toBe('DOE, JANE');
    expect(nameOf('Yamada^Tarou=山田^太郎')).toBe('Yamada, Tarou');
    expect(nameOf(null)).toBe('');
  });
});
