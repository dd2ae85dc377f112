/** Heat maps as the server sends them: a header in JSON, and a byte for each voxel. */
import { pathOfStudy } from '../api/studies';
import { dot } from './series';

export interface HeatMap {
  /** Columns, rows and slices. */
  dimensions: [number, number, number];
  /** mm along each of them. */
  spacing: [number, number, number];
  /** Middle of the first voxel, in mm of the patient (LPS). */
  origin: [number, number, number];
  /** Unit vectors along columns, rows and slices, one after the other. */
  direction: [number, number, number, number, number, number, number, number, number];
  values: Uint8Array;
}

/** Of 255: what is fainter is not drawn. A map has some noise nearly everywhere. */
const FAINT = 40;

/** From faint to strong, in red, green and blue; `.viewer-scale` of the style sheet shows the same. */
const COLOURS = [
  [128, 13, 0],
  [255, 115, 0],
  [255, 255, 102],
] as const;

/** The map of a sentence; null where the draft has none. */
export async function heatOf(study: string, sentence: string): Promise<HeatMap | null> {
  const answer = await fetch(pathOfStudy(study, 'heat', sentence));
  const header = answer.headers.get('X-Heat');
  if (!answer.ok || !header) return null;
  const placed = JSON.parse(header) as Omit<HeatMap, 'values'>;
  return { ...placed, values: new Uint8Array(await answer.arrayBuffer()) };
}

/** Where a point of the patient lies in a map, in voxels; whole numbers are their middles. */
export function voxelOf(map: HeatMap, point: readonly number[]): number[] {
  const from = point.map((one, axis) => one - (map.origin[axis] ?? 0));
  return map.spacing.map((mm, axis) => dot(map.direction.slice(3 * axis, 3 * axis + 3), from) / mm);
}

/** The value at a place in voxels, between voxels by all eight neighbours; 0 outside the map. */
export function valueAt({ dimensions, values }: HeatMap, place: readonly number[]): number {
  const axes = dimensions.map((size, axis) => between(place[axis] ?? NaN, size));
  const [x, y, z] = axes;
  if (!x || !y || !z) return 0;
  const [columns, rows] = dimensions;
  let sum = 0;
  for (const [k, ofSlice] of z)
    for (const [j, ofRow] of y)
      for (const [i, ofColumn] of x)
        sum += ofSlice * ofRow * ofColumn * (values[(k * rows + j) * columns + i] ?? 0);
  return sum;
}

type Weighed = readonly [index: number, weight: number];

/** The two neighbours of a place on an axis, with their weights; nothing outside its voxels. */
function between(place: number, size: number): [Weighed, Weighed] | undefined {
  if (!(place >= -0.5 && place <= size - 0.5)) return undefined;
  const inside = Math.min(Math.max(place, 0), size - 1);
  const low = Math.floor(inside);
  return [
    [low, 1 - (inside - low)],
    [Math.min(low + 1, size - 1), inside - low],
  ];
}

/** A plane through the patient: the points at three corners of a pane, in mm (LPS). */
export interface Corners {
  topLeft: readonly number[];
  topRight: readonly number[];
  bottomLeft: readonly number[];
}

/** What a map looks like in a plane: red, green, blue and alpha of each point, row by row. */
export function paint(
  map: HeatMap,
  corners: Corners,
  columns: number,
  rows: number,
): Uint8ClampedArray<ArrayBuffer> {
  const [start, right, bottom] = [corners.topLeft, corners.topRight, corners.bottomLeft].map(
    (one) => voxelOf(map, one),
  );
  const painted = new Uint8ClampedArray(4 * columns * rows);
  const place = (row: number, column: number): number[] =>
    [0, 1, 2].map((axis) => {
      const from = start?.[axis] ?? NaN;
      const across = ((right?.[axis] ?? NaN) - from) * ((column + 0.5) / columns);
      return from + across + ((bottom?.[axis] ?? NaN) - from) * ((row + 0.5) / rows);
    });
  for (let at = 0; at < columns * rows; at += 1) {
    const value = valueAt(map, place(Math.floor(at / columns), at % columns));
    if (value >= FAINT) painted.set(colourOf(value), 4 * at);
  }
  return painted;
}

/** Red, green, blue and full alpha of a value that is drawn. */
function colourOf(value: number): number[] {
  const along = ((value - FAINT) / (255 - FAINT)) * (COLOURS.length - 1);
  const low = Math.min(Math.floor(along), COLOURS.length - 2);
  const mixed = COLOURS[low]?.map(
    (one, channel) => one + (along - low) * ((COLOURS[low + 1]?.[channel] ?? one) - one),
  );
  return [...(mixed ?? []), 255];
}
