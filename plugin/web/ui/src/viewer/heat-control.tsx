/** What stands below the images of the heat map: its slider and its colours, or that there is none. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Shown } from '../api/studies';
import { t } from '../i18n/i18n';
import type { Engine } from './engine';
import { type HeatMap, heatOf } from './heat';

interface Given {
  study: string;
  series: string;
  engine: Engine | undefined;
  show: Shown | null;
  opacity: number;
  onOpacity: (opacity: number) => void;
}

/** The map of the chosen sentence lies over the series that the sentence leans on, and no other. */
export function Heat({ study, series, engine, show, opacity, onOpacity }: Given): JSX.Element | null {
  const map = useMap(study, series, show);
  useEffect(() => engine?.overlay(map ?? null), [engine, map]);
  useEffect(() => engine?.opacity(opacity), [engine, opacity]);
  if (!show || map === undefined) return null;
  if (map === null) return <p>{t('viewer.no-heat')}</p>;
  return (
    <label class="viewer-heat">
      {t('viewer.heat')}
      <input
        type="range"
        min="0"
        max="1"
        step="0.05"
        value={opacity}
        onInput={(event) => onOpacity(Number(event.currentTarget.value))}
      />
      <span class="viewer-scale" aria-hidden="true" />
    </label>
  );
}

/** Null where there is no map; undefined until that is known. */
function useMap(study: string, series: string, show: Shown | null): HeatMap | null | undefined {
  const [map, setMap] = useState<HeatMap | null>();
  useEffect(() => {
    let passed = false;
    const take = (found: HeatMap | null): void => {
      if (!passed) setMap(found);
    };
    const leans = show?.evidence.some((one) => one.series_instance_uid === series);
    setMap(undefined);
    if (show && leans) heatOf(study, show.sentence).then(take, () => take(null));
    else take(null);
    return () => {
      passed = true;
    };
  }, [study, series, show]);
  return map;
}
