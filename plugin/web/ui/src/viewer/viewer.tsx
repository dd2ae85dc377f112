/** The left half of the study page: its series, and the images of the one that is chosen. */
import type { JSX } from 'preact';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Series, Shown, Slice } from '../api/studies';
import { useShortcuts } from '../components/keys';
import { type Key, t } from '../i18n/i18n';
import type { Drag, Engine, Layout, Pane, Place, Sides } from './engine';
import { Heat } from './heat-control';
import { type Preset, PRESET_NAMES } from './presets';
import { Preview } from './preview';
import { firstOf, shownOf } from './series';
import './viewer.css';

interface Given {
  study: string;
  show: Shown | null;
  onSlice: (slice: Slice) => void;
}

interface OfStudy extends Given {
  /** Those that are there when the study is opened. */
  series: readonly Series[];
}

type Module = typeof import('./engine');

/** Fetched with the first study: it weighs thirty times the pages. */
export const fetchEngine = (): Promise<Module> => import('./engine');

const PLANES = ['axial', 'coronal', 'sagittal'] as const;
const DRAGS: readonly Drag[] = ['window', 'length', 'pan', 'zoom'];

/** `show` is what a sentence leans on; `onSlice` is told of each slice that is looked at. */
export function Viewer({ study, series: known, show, onSlice }: OfStudy): JSX.Element {
  const [series] = useState(() => shownOf(known));
  const [chosen, setChosen] = useState(() => firstOf(series));
  const [layout, setLayout] = useState<Layout>('stack');
  const [heat, setHeat] = useState(0.5);
  const [undecoded, setUndecoded] = useState<readonly string[]>([]);
  useEffect(() => {
    const wanted = show?.evidence[0]?.series_instance_uid;
    if (wanted && series.some((one) => one.series_instance_uid === wanted)) setChosen(wanted);
  }, [show, series]);
  if (!chosen) return <p class="notice quiet">{t('viewer.none')}</p>;
  const rendered = undecoded.includes(chosen);
  return (
    <Images
      key={`${chosen} ${layout} ${rendered}`}
      rendered={rendered}
      onUndecoded={() => setUndecoded((all) => [...new Set([...all, chosen])])}
      study={study}
      series={chosen}
      layout={layout}
      show={show}
      onSlice={onSlice}
      heat={heat}
      onHeat={setHeat}
    >
      <select
        aria-label={t('viewer.series')}
        value={chosen}
        onChange={(event) => setChosen(event.currentTarget.value)}
      >
        {series.map((one) => (
          <option key={one.series_instance_uid} value={one.series_instance_uid}>
            {titleOf(one)}
          </option>
        ))}
      </select>
      <button
        type="button"
        aria-pressed={layout === 'planes'}
        onClick={() => setLayout(layout === 'stack' ? 'planes' : 'stack')}
      >
        {t('viewer.planes')}
      </button>
    </Images>
  );
}

function titleOf(one: Series): string {
  const named = [one.number, one.description].filter((part) => part !== null && part !== '');
  return `${named.join(' · ')} (${t('viewer.images', { count: one.images })})`;
}

interface OfSeries extends Given {
  series: string;
  layout: Layout;
  /** Whether the server renders the images, as this browser cannot decode them. */
  rendered: boolean;
  onUndecoded: () => void;
  /** How strong heat maps are laid over, from 0 to 1. */
  heat: number;
  onHeat: (opacity: number) => void;
  children: JSX.Element[];
}

/** The number that the report names, and the place where it is another one. */
function named({ instance, number, of }: Place): string {
  if (instance === null || instance === number) return t('viewer.image', { number, of });
  return t('viewer.image-at', { instance, number, of });
}

/** One series in one layout; another one is another component. */
function Images(given: OfSeries): JSX.Element {
  const { study, series, layout, rendered, show, onSlice, children } = given;
  const panes = useRef<(HTMLDivElement | null)[]>([]);
  const [engine, setEngine] = useState<Engine>();
  const [place, setPlace] = useState<Place>();
  const [sides, setSides] = useState<Record<string, Sides>>({});
  const [drawn, setDrawn] = useState(false);
  const [problem, setProblem] = useState('');
  const [preset, setPreset] = useState<Preset>('soft');
  // Slices that are no even volume stay a stack
  const used = engine?.hasPlanes === false ? 'stack' : layout;
  const shown = used === 'stack' ? PLANES.slice(0, 1) : PLANES;

  const tell = useCallback(
    (next: Place) => {
      setPlace(next);
      onSlice({ series_instance_uid: series, sop_instance_uid: next.sopInstance });
    },
    [series, onSlice],
  );
  useEffect(() => {
    let closed = false;
    let opened: Engine | undefined;
    const elements = shown.map((plane, at) => ({ plane, element: panes.current[at] }));
    const usable = elements.filter((one): one is Omit<Pane, 'id'> => Boolean(one.element));
    const named = usable.map((one) => ({ ...one, id: `${one.plane} ${crypto.randomUUID()}` }));
    const opening = fetchEngine().then(
      (loaded) =>
        loaded.Engine.open(named, layout, { study, series, rendered }, preset, {
          onUndecoded: given.onUndecoded,
          onPlace: (next) => closed || tell(next),
          onDrawn: () => closed || setDrawn(true),
          onSides: (plane, next) => closed || setSides((all) => ({ ...all, [plane]: next })),
        }),
      () => Promise.reject(new Error(t('viewer.no-engine'))),
    );
    opening.then(
      (made) => {
        opened = made;
        if (closed) made.close();
        else setEngine(made);
      },
      (error: unknown) => setProblem(error instanceof Error ? error.message : String(error)),
    );
    return () => {
      closed = true;
      opened?.close();
    };
  }, []);
  useEffect(() => {
    const wanted = show?.evidence.find((one) => one.series_instance_uid === series);
    if (engine && wanted) void engine.jump(wanted.sop_instance_uid);
  }, [engine, show]);
  const look = (next: Preset): void => {
    setPreset(next);
    void engine?.window(next);
  };
  useKeys(engine, look, () => engine?.reset(preset));

  return (
    <div class="viewer" data-sop-instance={place?.sopInstance}>
      <div class="viewer-tools" role="toolbar" aria-label={t('viewer.tools')}>
        {children}
        <Tools engine={engine} preset={preset} onPreset={look} />
      </div>
      <div class={`viewer-panes ${used}`}>
        {shown.map((plane, at) => (
          <div class="viewer-pane" key={plane}>
            <div
              ref={(element) => {
                panes.current[at] = element;
              }}
              data-pane={plane}
              role="img"
              aria-label={t(used === 'stack' ? 'study.images' : `viewer.${plane}`)}
              onContextMenu={(event) => event.preventDefault()}
            />
            {!drawn && !problem && layout === 'stack' && <Preview study={study} series={series} preset={preset} />}
            <Letters sides={sides[plane]} />
          </div>
        ))}
      </div>
      <div class="viewer-foot">
        <p role="status" class="viewer-place">
          {problem
            ? t('viewer.failed', { reason: problem })
            : place
              ? named(place)
              : t('viewer.loading')}
        </p>
        {rendered && <p class="viewer-rendered">{t('viewer.rendered')}</p>}
        {engine && layout === 'planes' && !engine.hasPlanes && !rendered && <p>{t('viewer.no-planes')}</p>}
        <Heat
          study={study}
          series={series}
          engine={engine}
          show={show}
          opacity={given.heat}
          onOpacity={given.onHeat}
        />
      </div>
    </div>
  );
}

function Letters({ sides }: { sides: Sides | undefined }): JSX.Element | null {
  if (!sides) return null;
  return (
    <>
      {(['left', 'right', 'top', 'bottom'] as const).map((side) => (
        <span key={side} class={`viewer-side ${side}`} aria-hidden="true">
          {sides[side]}
        </span>
      ))}
    </>
  );
}

/** Up and down scroll, Page keys by ten; 1 to 5 set the window; 0 undoes. */
function useKeys(
  engine: Engine | undefined,
  look: (preset: Preset) => void,
  reset: () => void,
): void {
  const step = (keys: string[], by: number, text: Key) => ({
    keys,
    text,
    action: () => void engine?.scroll(by),
  });
  useShortcuts([
    ...PRESET_NAMES.map((preset, at) => ({
      keys: [String(at + 1)],
      text: `viewer.${preset}` as Key,
      action: () => look(preset),
    })),
    step(['PageUp'], 10, 'viewer.ten-up'),
    step(['PageDown'], -10, 'viewer.ten-down'),
    step(['+'], 1, 'viewer.one-up'),
    step(['-'], -1, 'viewer.one-down'),
    { keys: ['0'], text: 'viewer.reset', action: reset },
  ]);
}

interface OfTools {
  engine: Engine | undefined;
  preset: Preset;
  onPreset: (preset: Preset) => void;
}

function Tools({ engine, preset, onPreset }: OfTools): JSX.Element {
  const [drag, setDrag] = useState<Drag>('window');
  const [playing, setPlaying] = useState(false);
  const disabled = !engine;
  return (
    <>
      {PRESET_NAMES.map((name, at) => (
        <button
          type="button"
          key={name}
          class={at === 0 ? 'apart' : ''}
          aria-pressed={preset === name}
          disabled={disabled}
          onClick={() => onPreset(name)}
        >
          {t(`viewer.${name}`)} <kbd>{at + 1}</kbd>
        </button>
      ))}
      {DRAGS.map((one, at) => (
        <button
          type="button"
          key={one}
          class={at === 0 ? 'apart' : ''}
          aria-pressed={drag === one}
          disabled={disabled}
          onClick={() => {
            setDrag(one);
            engine?.drag(one);
          }}
        >
          {t(`viewer.drag-${one}`)}
        </button>
      ))}
      <button
        type="button"
        class="apart"
        aria-pressed={playing}
        disabled={disabled}
        onClick={() => {
          engine?.play(!playing);
          setPlaying(!playing);
        }}
      >
        {t('viewer.play')}
      </button>
      <button type="button" disabled={disabled} onClick={() => engine?.reset(preset)}>
        {t('viewer.reset')} <kbd>0</kbd>
      </button>
    </>
  );
}
