/** The middle slice as the server renders it: it is there before the browser can draw one itself. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type Preset, windowOf } from './presets';
import { addressOf, askForMetadata, inOrder } from './series';

interface Given {
  study: string;
  series: string;
  preset: Preset;
}

/** Nothing where the server cannot render it: the viewer tells what is wrong. */
export function Preview({ study, series, preset }: Given): JSX.Element | null {
  const [address, setAddress] = useState('');
  useEffect(() => {
    askForMetadata(study, series).then(
      (found) => {
        // The one that the viewer begins with
        const middle = inOrder(found)[Math.floor(found.length / 2)];
        if (middle) setAddress(`${addressOf(study, series, middle)}/rendered`);
      },
      () => undefined,
    );
  }, []);
  if (!address) return null;
  const source = `${address}?window=${windowOf(preset)}`;
  return <img class="viewer-preview" src={source} alt="" onError={() => setAddress('')} />;
}
