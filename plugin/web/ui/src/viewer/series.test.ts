import { describe, expect, it } from 'vitest';
import { presetOfKey, rangeOf } from './presets';
import {
  addressOf,
  framesOf,
  inOrder,
  instanceNumberOf,
  isVolume,
  letterOf,
  middleOf,
  type Metadata,
  sopInstanceOf,
} from './series';

const slice = (uid: string, position: number[], orientation: number[]): Metadata => ({
  '00080018': { Value: [uid] },
  '00200013': { Value: [Number(uid)] },
  '00200032': { Value: position },
  '00200037': { Value: orientation },
});

describe('windows', () => {
  it('are on the keys 1 to 5', () => {
    expect(presetOfKey('1')).toBe('lung');
    expect(presetOfKey('6')).toBeUndefined();
    expect(rangeOf('soft')).toEqual({ lower: -160, upper: 240 });
  });
});

describe('frames', () => {
  const groups = (tag: string, of: Metadata): Metadata => ({ [tag]: { Value: [of] } });
  const place = (z: number): Metadata => groups('00209113', { '00200032': { Value: [0, 0, z] } });

  it('of an enhanced object are slices at their own places', () => {
    const enhanced: Metadata = {
      '00080018': { Value: ['1.2'] },
      '00200013': { Value: [7] },
      '00280008': { Value: [2] },
      '52009229': {
        Value: [groups('00209116', { '00200037': { Value: [1, 0, 0, 0, 1, 0] } })],
      },
      '52009230': { Value: [place(5), place(2)] },
    };
    const frames = inOrder(framesOf(enhanced));
    expect(frames.map((one) => one['00200032']?.Value)).toEqual([
      [0, 0, 2],
      [0, 0, 5],
    ]);
    expect(frames.map((one) => addressOf('s', 'e', one))).toEqual([
      '/dicom-web/studies/s/series/e/instances/1.2/frames/2',
      '/dicom-web/studies/s/series/e/instances/1.2/frames/1',
    ]);
    expect(frames.map(instanceNumberOf)).toEqual([null, null]);
    expect(frames.some((one) => '52009230' in one || '00280008' in one)).toBe(false);
  });

  it('of an object without groups stay in their order', () => {
    const found = framesOf({ '00080018': { Value: ['1.2'] }, '00280008': { Value: [3] } });
    expect(inOrder(found).map((one) => addressOf('s', 'e', one).at(-1))).toEqual(['1', '2', '3']);
  });

  it('are the object itself where it is one image', () => {
    const one = slice('1', [0, 0, 0], [1, 0, 0, 0, 1, 0]);
    expect(framesOf(one)).toEqual([one]);
  });
});

describe('slices', () => {
  const s = Math.SQRT1_2;
  it.each([
    ['reversed numbers', [1, 0, 0, 0, 1, 0], [0, 0, -5]],
    ['a tilted gantry', [1, 0, 0, 0, s, -s], [0, 0, -5]],
    ['an oblique series', [s, s, 0, 0, 0, -1], [-s, s, 0]],
  ])('stand in order of their places: %s', (_, orientation, step) => {
    const made = ['1', '2', '3'].map((uid, at) =>
      slice(uid, step.map((one) => one * at), orientation),
    );
    const mixed = [1, 2, 0].map((at) => made[at] as Metadata);
    const order = inOrder(mixed).map(sopInstanceOf);
    expect(['1,2,3', '3,2,1']).toContain(order.join());
  });

  it('have the number of their header, or none', () => {
    expect(instanceNumberOf(slice('7', [], []))).toBe(7);
    expect(instanceNumberOf({})).toBeNull();
  });

  it('stand in order of their numbers where one has no place', () => {
    const made = [slice('2', [], []), slice('1', [], [])];
    expect(inOrder(made).map(sopInstanceOf)).toEqual(['1', '2']);
  });
});

describe('planes', () => {
  const axial = [1, 0, 0, 0, 1, 0];
  const at = (...places: number[]): Metadata[] =>
    places.map((z, index) => slice(String(index), [0, 0, z], axial));

  it('are cut through even slices only', () => {
    expect(isVolume(at(0, 5, 10, 15))).toBe(true);
    expect(isVolume(at(0, 5.2, 9.9, 15))).toBe(true);
    expect(isVolume(at(0, 5, 15, 20))).toBe(false);
    expect(isVolume(at(0, 5))).toBe(false);
    expect(isVolume([slice('1', [], []), slice('2', [], []), slice('3', [], [])])).toBe(false);
  });

  it('have letters of the patient at their edges', () => {
    expect(letterOf([1, 0, 0])).toBe('L');
    expect(letterOf([0, -0.9, 0.1])).toBe('A');
    expect(letterOf([0, 0.2, 0.98])).toBe('H');
  });

  it('find the middle of an image', () => {
    const image = {
      ...slice('1', [-10, -20, 5], axial),
      '00280010': { Value: [5] },
      '00280011': { Value: [3] },
      '00280030': { Value: [2, 4] },
    };
    expect(middleOf(image)).toEqual([-6, -16, 5]);
  });
});
