import { expect, it } from 'vitest';
import { Refusal } from '../api/client';
import { language } from './i18n';
import { told } from './refusals';

it('a refusal is told in the reader’s language where it is known', () => {
  language.value = 'de';
  expect(told(new Refusal(409, 'retracted', 'the draft was taken back'))).toMatch(/zurückgezogen/);
  expect(told(new Refusal(409, 'unheard-of', 'no'))).toBe('no');
  language.value = 'en';
});
