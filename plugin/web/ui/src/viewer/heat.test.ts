import { describe, expect, it } from 'vitest';
import { type HeatMap, paint, valueAt, voxelOf } from './heat';

/** 3 × 2 × 2 voxels; only the middle one of the first row of the first slice is hot. */
const map: HeatMap = {
  dimensions: [3, 2, 2],
  spacing: [10, 20, 5],
  origin: [100, -50, 7],
  // Columns run to the patient's back, rows to the right, slices to the head
  direction: [0, 1, 0, -1, 0, 0, 0, 0, 1],
  values: Uint8Array.of(0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
};

describe('a heat map', () => {
  it('lies where its header says', () => {
    expect(voxelOf(map, [100, -50, 7])).toEqual([0, 0, 0]);
    expect(voxelOf(map, [80, -40, 12])).toEqual([1, 1, 1]);
  });

  it('grows faint between voxels and ends with them', () => {
    expect(valueAt(map, [1, 0, 0])).toBe(200);
    expect(valueAt(map, [1.5, 0, 0])).toBe(100);
    expect(valueAt(map, [1, 0.5, 0.5])).toBe(50);
    expect(valueAt(map, [1, -0.4, -0.4])).toBe(200);
    expect(valueAt(map, [1, -0.6, 0])).toBe(0);
    expect(valueAt(map, [NaN, 0, 0])).toBe(0);
  });

  it('is painted in a plane, and what is faint is left out', () => {
    const corners = { topLeft: [110, -55, 7], topRight: [110, -25, 7], bottomLeft: [70, -55, 7] };
    const painted = paint(map, corners, 3, 2);
    const alphas = [...painted].filter((_, at) => at % 4 === 3);
    expect(alphas).toEqual([0, 255, 0, 0, 0, 0]);
    expect(painted[4]).toBe(255);
    expect(painted[6]).toBeLessThan(102);
  });
});
