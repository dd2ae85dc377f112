/** Windows that readers know by name, in HU: centre and width as radiology departments set them. */
export const PRESETS = {
  lung: { center: -600, width: 1500 },
  soft: { center: 40, width: 400 },
  bone: { center: 400, width: 1800 },
  brain: { center: 40, width: 80 },
  liver: { center: 60, width: 160 },
} as const;

export type Preset = keyof typeof PRESETS;

/** In the order of the keys 1 to 5. */
export const PRESET_NAMES = Object.keys(PRESETS) as Preset[];

/** The lowest and highest value shown. */
export function rangeOf(preset: Preset): { lower: number; upper: number } {
  const { center, width } = PRESETS[preset];
  return { lower: center - width / 2, upper: center + width / 2 };
}

/** As DICOMweb names it (PS3.18 8.3.5.1.4). */
export function windowOf(preset: Preset): string {
  const { center, width } = PRESETS[preset];
  return `${center},${width},linear-exact`;
}

/** The preset of a key, if it has one. */
export function presetOfKey(key: string): Preset | undefined {
  return /^[1-5]$/.test(key) ? PRESET_NAMES[Number(key) - 1] : undefined;
}
