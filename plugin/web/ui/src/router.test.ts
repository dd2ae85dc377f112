import { describe, expect, it } from 'vitest';
import { pathOf, placeOf } from './router';

describe('places', () => {
  it.each([
    ['/', { page: 'worklist' }],
    ['/sign-in', { page: 'sign-in' }],
    ['/study/1.2.3', { page: 'study', study: '1.2.3' }],
    ['/admin/deliveries', { page: 'admin', admin: 'deliveries' }],
  ] as const)('%s is read and written', (path, place) => {
    expect(placeOf(path)).toEqual(place);
    expect(pathOf(place)).toBe(path);
  });

  it.each(['/study', '/study/1/2', '/elsewhere', '/sign-in/x'])('%s is no page', (path) => {
    expect(placeOf(path)).toEqual({ page: 'unknown' });
  });

  it('keeps strange identifiers whole', () => {
    const place = { page: 'study', study: '../<b>' } as const;
    expect(placeOf(pathOf(place))).toEqual(place);
    expect(placeOf('/study/%E0%A4%A')).toEqual({ page: 'study', study: '%E0%A4%A' });
  });
});
