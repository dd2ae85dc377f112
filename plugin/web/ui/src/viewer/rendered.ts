/** Images that the browser cannot decode, as the server renders them: grey values of one window. */
import * as core from '@cornerstonejs/core';
import { wadors } from '@cornerstonejs/dicom-image-loader';
import { type Preset, rangeOf, windowOf } from './presets';

const SCHEME = 'rendered';

/** Make the scheme known; once for each page. */
export function registerRendered(): void {
  core.imageLoader.registerImageLoader(SCHEME, (image) => ({ promise: fetched(image) }));
}

/** What the engine calls an image (`wadors:…`) as the server renders it in a window. */
export function renderedOf(image: string, preset: Preset): string {
  const [, address = ''] = image.split('wadors:');
  const name = `${SCHEME}:${address}/rendered?window=${windowOf(preset)}#${preset}`;
  wadors.metaDataManager.add(name, wadors.metaDataManager.get(image));
  return name;
}

/** Grey values go back to HU within the window, so that all images obey the same windows. */
async function fetched(image: string): Promise<core.Types.IImage> {
  const [address = '', preset] = image.slice(SCHEME.length + 1).split('#');
  const answer = await fetch(address, { headers: { Accept: 'image/png' } });
  if (!answer.ok) throw new Error(`an image was not rendered (${answer.status})`);
  const { data, width, height } = await pixelsOf(await answer.blob());
  const { lower, upper } = rangeOf(preset as Preset);
  const values = new Int16Array(width * height);
  // Red, green, blue and alpha; all colours of a grey are the same
  for (let at = 0; at < values.length; at += 1)
    values[at] = Math.round(lower + ((data[4 * at] ?? 0) / 255) * (upper - lower));
  return made(image, values, { columns: width, rows: height, lower, upper });
}

async function pixelsOf(png: Blob): Promise<ImageData> {
  // The grey values themselves, whatever the colours of the screen
  const picture = await createImageBitmap(png, { colorSpaceConversion: 'none' });
  const context = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
  if (!context) throw new Error('this browser draws no images');
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, picture.width, picture.height);
}

interface Shape {
  columns: number;
  rows: number;
  lower: number;
  upper: number;
}

/** An image as the engine takes it. */
function made(imageId: string, values: Int16Array, shape: Shape): core.Types.IImage {
  const { columns, rows, lower, upper } = shape;
  const plane = core.metaData.get('imagePlaneModule', imageId) as core.Types.ImagePlaneModule;
  return {
    imageId,
    columns,
    rows,
    width: columns,
    height: rows,
    // The engine, too, takes 1 where an image names none
    rowPixelSpacing: plane.rowPixelSpacing ?? 1,
    columnPixelSpacing: plane.columnPixelSpacing ?? 1,
    color: false,
    rgba: false,
    numberOfComponents: 1,
    invert: false,
    slope: 1,
    intercept: 0,
    preScale: { enabled: true, scaled: true },
    windowCenter: (lower + upper) / 2,
    windowWidth: upper - lower,
    voiLUTFunction: core.Enums.VOILUTFunctionType.LINEAR,
    minPixelValue: lower,
    maxPixelValue: upper,
    dataType: 'Int16Array',
    sizeInBytes: values.byteLength,
    getPixelData: () => values,
    getCanvas: () => document.createElement('canvas'),
    voxelManager: core.utilities.VoxelManager.createImageVoxelManager({
      scalarData: values,
      width: columns,
      height: rows,
      numberOfComponents: 1,
    }),
  };
}
