/** The metadata of a series (DICOM JSON, PS3.18 F.2), and its slices in the order of their places. */
import type { Series } from '../api/studies';

const ROOT = '/dicom-web';

export type Metadata = Record<string, { vr?: string; Value?: unknown[] }>;

const POSITION = '00200032';
const ORIENTATION = '00200037';
const INSTANCE_NUMBER = '00200013';
const SOP_INSTANCE_UID = '00080018';
const ROWS = '00280010';
const COLUMNS = '00280011';
const PIXEL_SPACING = '00280030';

/** What all frames of an object have in common, and what each has of its own. */
const GROUPS = ['52009229', '52009230'] as const;
const FRAMES = '00280008';
/** Of an object that stands for one frame of another. */
const FRAME = '00081160';

/**
 * An object of many frames as images of one (PS3.3 C.7.6.16): what functional groups say of a frame
 * stands where an image of one frame has it. Frames of an object without groups have no place.
 */
export function framesOf(instance: Metadata): Metadata[] {
  const count = numbersOf(instance, FRAMES)[0] ?? 1;
  const [shared, own] = GROUPS.map((tag) => (instance[tag]?.Value ?? []) as Metadata[]);
  if (count <= 1 && !own?.length) return [instance];
  const without = [...GROUPS, FRAMES, INSTANCE_NUMBER];
  const common = Object.fromEntries(Object.entries(instance).filter(([tag]) => !without.includes(tag)));
  return Array.from({ length: count }, (_, at) => ({
    ...common,
    ...flat(shared?.[0]),
    ...flat(own?.[at]),
    [FRAME]: { vr: 'IS', Value: [at + 1] },
  }));
}

/** What the groups of a frame say, each of them a sequence of one item. */
function flat(groups: Metadata | undefined): Metadata {
  const items = Object.values(groups ?? {}).map((one) => one.Value?.[0]);
  return Object.assign({}, ...items.filter((one) => typeof one === 'object')) as Metadata;
}

const asked = new Map<string, Promise<Metadata[]>>();

/** Ask for the metadata of a series, once for each page. */
export function askForMetadata(study: string, series: string): Promise<Metadata[]> {
  const found = asked.get(series) ?? fetched(study, series);
  asked.set(series, found);
  found.catch(() => asked.delete(series));
  return found;
}

async function fetched(study: string, series: string): Promise<Metadata[]> {
  const answer = await fetch(`${ROOT}/studies/${study}/series/${series}/metadata`, {
    headers: { Accept: 'application/dicom+json' },
  });
  if (!answer.ok) throw new Error(`the images were not found (${answer.status})`);
  return ((await answer.json()) as Metadata[]).flatMap(framesOf);
}

/** The address of an image: a frame of an instance. */
export function addressOf(study: string, series: string, image: Metadata): string {
  const instance = `${ROOT}/studies/${study}/series/${series}/instances/${sopInstanceOf(image)}`;
  return `${instance}/frames/${numbersOf(image, FRAME)[0] ?? 1}`;
}

/** The series that can be shown. */
export function shownOf(series: readonly Series[]): Series[] {
  return series.filter((one) => one.modality === 'CT' && one.images);
}

/** The series that was drafted from, else the largest; nothing where none can be shown. */
export function firstOf(series: readonly Series[]): string {
  const [largest] = shownOf(series).sort((a, b) => b.images - a.images);
  return (shownOf(series).find((one) => one.drafted) ?? largest)?.series_instance_uid ?? '';
}

export function numbersOf(metadata: Metadata, tag: string): number[] {
  return (metadata[tag]?.Value ?? []).map(Number);
}

export function sopInstanceOf(metadata: Metadata): string {
  const [uid] = metadata[SOP_INSTANCE_UID]?.Value ?? [];
  return typeof uid === 'string' ? uid : '';
}

/** The number that viewers and reports call an image by; null where it has none. */
export function instanceNumberOf(metadata: Metadata): number | null {
  return numbersOf(metadata, INSTANCE_NUMBER)[0] ?? null;
}

/**
 * Sort slices along the normal of the first; by instance number where one has no place.
 *
 * The way is the patient's, whatever the numbers say: from the feet up, where slices are axial.
 */
export function inOrder(instances: readonly Metadata[]): Metadata[] {
  const normal = normalOf(instances[0]);
  const along = instances.map((one) => {
    const position = numbersOf(one, POSITION);
    return normal && position.length === 3 ? dot(normal, position) : undefined;
  });
  const placed = along.every((one) => one !== undefined);
  const keys = placed ? along : instances.map((one) => numbersOf(one, INSTANCE_NUMBER)[0] ?? 0);
  return instances
    .map((one, index) => ({ one, key: keys[index] ?? 0 }))
    .sort((a, b) => a.key - b.key)
    .map(({ one }) => one);
}

/** The image's normal (PS3.3 C.7.6.2.1.1), turned so that it grows towards head, back or left. */
export function normalOf(metadata: Metadata | undefined): number[] | undefined {
  const [a, b, c, d, e, f] = metadata ? numbersOf(metadata, ORIENTATION) : [];
  if (a === undefined || b === undefined || c === undefined) return undefined;
  if (d === undefined || e === undefined || f === undefined) return undefined;
  const normal = [b * f - c * e, c * d - a * f, a * e - b * d];
  const largest = normal.reduce((x, y) => (Math.abs(y) > Math.abs(x) ? y : x));
  return largest < 0 ? normal.map((one) => -one) : normal;
}

export function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, one, index) => sum + one * (b[index] ?? 0), 0);
}

/** Whether planes can be cut through slices: at least three, parallel, with even steps. */
export function isVolume(ordered: readonly Metadata[]): boolean {
  const normal = normalOf(ordered[0]);
  if (!normal || ordered.length < 3) return false;
  const at = ordered.map((one) => {
    const position = numbersOf(one, POSITION);
    const own = normalOf(one);
    const parallel = own && dot(own, normal) > 0.999;
    return parallel && position.length === 3 ? dot(normal, position) : NaN;
  });
  const steps = at.slice(1).map((one, index) => one - (at[index] ?? NaN));
  const mean = steps.reduce((sum, one) => sum + one, 0) / steps.length;
  // A tenth of a step is what rounding of positions leaves; a missing slice is a whole one
  return mean > 0 && steps.every((one) => Math.abs(one - mean) < 0.1 * mean);
}

/** The side of the patient that a direction leads to (LPS), by the letters of DICOM. */
export function letterOf(direction: readonly number[]): string {
  const sizes = direction.map(Math.abs);
  const axis = sizes.indexOf(Math.max(...sizes));
  const pair = ['LR', 'PA', 'HF'][axis] ?? '';
  return pair[(direction[axis] ?? 0) > 0 ? 0 : 1] ?? '';
}

/** The middle of an image in mm of the patient (PS3.3 C.7.6.2.1.1); its corner where sizes lack. */
export function middleOf(metadata: Metadata): number[] {
  const [x = 0, y = 0, z = 0] = numbersOf(metadata, POSITION);
  const directions = numbersOf(metadata, ORIENTATION);
  const [down = 0, across = 0] = numbersOf(metadata, PIXEL_SPACING);
  const columns = ((numbersOf(metadata, COLUMNS)[0] ?? 1) - 1) / 2;
  const rows = ((numbersOf(metadata, ROWS)[0] ?? 1) - 1) / 2;
  return [x, y, z].map((corner, axis) => {
    const along = (directions[axis] ?? 0) * columns * across;
    return corner + along + (directions[axis + 3] ?? 0) * rows * down;
  });
}
