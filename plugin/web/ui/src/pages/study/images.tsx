import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Series, Shown, Slice } from '../../api/studies';
import { t } from '../../i18n/i18n';
import { askForMetadata, firstOf } from '../../viewer/series';

export interface Given {
  study: string;
  series: readonly Series[];
  show: Shown | null;
  onSlice: (slice: Slice) => void;
}

type Module = typeof import('../../viewer/viewer');

/** Fetched with the first study: it weighs a hundred times the other pages. */
export const fetchViewer = (): Promise<Module> => import('../../viewer/viewer');

/** The left half: the images. */
export function Images(given: Given): JSX.Element {
  const [loaded, setLoaded] = useState<Module | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    const first = firstOf(given.series);
    // While the viewer is still on its way, which tells what is wrong
    if (first) askForMetadata(given.study, first).catch(() => undefined);
    fetchViewer().then(setLoaded, () => setFailed(true));
  }, []);
  return (
    <section class="images" aria-label={t('study.images')}>
      {loaded ? (
        <loaded.Viewer {...given} />
      ) : (
        <p class="notice quiet" role={failed ? 'alert' : 'status'}>
          {t(failed ? 'study.no-viewer' : 'study.images-loading')}
        </p>
      )}
    </section>
  );
}
