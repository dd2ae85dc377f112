/** Series as the engine takes them: the addresses of their images, and where their slices lie. */
import type { Types } from '@cornerstonejs/core';
import { wadors } from '@cornerstonejs/dicom-image-loader';
import {
  addressOf,
  askForMetadata,
  inOrder,
  instanceNumberOf,
  isVolume,
  middleOf,
  normalOf,
  sopInstanceOf,
} from './series';

const PLANES = ['sagittal', 'coronal', 'axial'] as const;

export interface Loaded {
  /** What the engine calls it where planes are cut through it. */
  volume: string;
  /** What the engine calls its slices, in the order of their places. */
  images: string[];
  sopInstances: string[];
  instanceNumbers: (number | null)[];
  /** The middle of each slice, in mm of the patient (LPS). */
  middles: Types.Point3[];
  normal: number[] | undefined;
  /** The plane that the slices lie in, or nearly so. */
  plane: (typeof PLANES)[number];
  isVolume: boolean;
}

const known = new Map<string, Promise<Loaded>>();

/** Prepare a series, once for each page. */
export function load(study: string, series: string): Promise<Loaded> {
  const found = known.get(series) ?? loaded(study, series);
  known.set(series, found);
  found.catch(() => known.delete(series));
  return found;
}

async function loaded(study: string, series: string): Promise<Loaded> {
  const instances = inOrder(await askForMetadata(study, series));
  const images = instances.map((one) => {
    const image = `wadors:${addressOf(study, series, one)}`;
    wadors.metaDataManager.add(image, one as never);
    return image;
  });
  const normal = normalOf(instances[0]);
  const sizes = (normal ?? [0, 0, 1]).map(Math.abs);
  return {
    volume: `cornerstoneStreamingImageVolume:${series}`,
    images,
    sopInstances: instances.map(sopInstanceOf),
    instanceNumbers: instances.map(instanceNumberOf),
    middles: instances.map((one) => middleOf(one) as Types.Point3),
    normal,
    plane: PLANES[sizes.indexOf(Math.max(...sizes))] ?? 'axial',
    isVolume: isVolume(instances),
  };
}
