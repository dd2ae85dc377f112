import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Draft, Shown, Slice } from '../../api/studies';
import { NONE, type Templates, loadTemplates } from '../../api/templates';
import { useShortcuts } from '../../components/keys';
import type { Section } from '../../draft/autosave';
import type { Editing } from '../../draft/editing';
import { appended } from '../../draft/pieces';
import { headingOf, t, type Key } from '../../i18n/i18n';
import { Changes } from './changes';
import { Sentences } from './sentences';
import { TemplateDialog } from './templates';
import { TextArea } from './text-area';

export interface Work {
  work: { editing: Editing; mayEdit: boolean };
  draft: Draft;
  templates: Templates;
  slice: Slice | null;
  onShow: (shown: Shown) => void;
}

const MODES = ['sentences', 'text', 'changes'] as const;
type Mode = (typeof MODES)[number];

/** The report: sentence by sentence, as free text, or what was changed of the draft. */
export function Report(given: Omit<Work, 'templates'>): JSX.Element {
  const { editing, mayEdit } = given.work;
  const [mode, setMode] = useState<Mode>('sentences');
  const [templates, setTemplates] = useState(NONE);
  const [choosing, setChoosing] = useState(false);
  const [heading, setHeading] = useState<string | null>(null);
  const load = (): void => {
    loadTemplates().then(setTemplates, () => undefined);
  };
  useEffect(load, []);
  useShortcuts([
    { keys: ['j', 'ArrowDown'], text: 'report.key.down', when: anyInSight, action: () => step(1) },
    { keys: ['k', 'ArrowUp'], text: 'report.key.up', when: anyInSight, action: () => step(-1) },
    { keys: ['e'], text: 'report.key.edit', when: () => false, action: () => undefined },
    { keys: ['z'], text: 'report.undo', control: true, shift: false, action: () => editing.undo() },
    { keys: ['Z', 'y'], text: 'report.redo', control: true, action: () => editing.redo() },
  ]);
  const put = (changed: Section, whole: boolean): void => {
    const sections = editing.sections.value.map((one) =>
      one.heading === changed.heading ? changed : one,
    );
    editing.change(sections, whole);
  };
  const insert = (text: string, where: string | null): void => {
    const wanted = where ?? heading;
    const all = editing.sections.value;
    const section = all.find((one) => one.heading === wanted) ?? all[0];
    if (section) put({ ...section, text: appended(section.text, text) }, true);
    setChoosing(false);
  };
  const work: Work = { ...given, templates };
  return (
    <>
      <Toolbar
        editing={editing}
        mayEdit={mayEdit}
        mode={mode}
        onMode={setMode}
        onTemplates={() => setChoosing(true)}
      />
      <div class="sections">
        {mode === 'sentences' && <Legend draft={given.draft} />}
        {editing.sections.value.map((section) => (
          <section key={section.heading} onFocusIn={() => setHeading(section.heading)}>
            <h2>{headingOf(section)}</h2>
            <Body {...work} mode={mode} section={section} put={put} />
          </section>
        ))}
      </div>
      {choosing && (
        <TemplateDialog
          templates={templates}
          sections={editing.sections.value}
          onInsert={insert}
          onChanged={load}
          onClose={() => setChoosing(false)}
        />
      )}
    </>
  );
}

interface BodyGiven extends Work {
  mode: Mode;
  section: Section;
  put: (section: Section, whole: boolean) => void;
}

function Body({ mode, section, put, ...work }: BodyGiven): JSX.Element {
  if (mode === 'changes') return <Changes draft={work.draft} section={section} />;
  const onText = (text: string, whole: boolean): void => put({ ...section, text }, whole);
  if (mode === 'sentences') {
    return <Sentences {...work} section={section} onText={(text) => onText(text, true)} />;
  }
  return (
    <TextArea
      label={headingOf(section)}
      text={section.text}
      heading={section.heading}
      templates={work.templates}
      readOnly={!work.work.mayEdit}
      onText={onText}
    />
  );
}

interface ToolbarGiven {
  editing: Editing;
  mayEdit: boolean;
  mode: Mode;
  onMode: (mode: Mode) => void;
  onTemplates: () => void;
}

function Toolbar({ editing, mayEdit, mode, onMode, onTemplates }: ToolbarGiven): JSX.Element {
  return (
    <div class="tools">
      <div class="views" role="group" aria-label={t('report.modes')}>
        {MODES.map((one) => (
          <button key={one} aria-pressed={mode === one} onClick={() => onMode(one)}>
            {t(`report.mode.${one}`)}
          </button>
        ))}
      </div>
      {mayEdit && (
        <>
          <button
            aria-label={t('report.undo')}
            title={t('report.undo')}
            disabled={!editing.canUndo.value}
            onClick={() => editing.undo()}
          >
            ↶
          </button>
          <button
            aria-label={t('report.redo')}
            title={t('report.redo')}
            disabled={!editing.canRedo.value}
            onClick={() => editing.redo()}
          >
            ↷
          </button>
          <button onClick={onTemplates}>{t('templates.title')}</button>
        </>
      )}
      <Copy editing={editing} />
    </div>
  );
}

/** The whole text for another program; browsers allow it by TLS, and on this machine. */
function Copy({ editing }: { editing: Editing }): JSX.Element {
  const [copied, setCopied] = useState('');
  const copy = (): void => {
    const text = textOf(editing.sections.value);
    navigator.clipboard.writeText(text).then(
      () => setCopied(text),
      () => setCopied(''),
    );
  };
  const same = copied !== '' && copied === textOf(editing.sections.value);
  return <button onClick={copy}>{t(same ? 'report.copied' : 'report.copy')}</button>;
}

function textOf(sections: readonly Section[]): string {
  return sections.map((one) => `${headingOf(one)}\n${one.text}`).join('\n\n');
}

const NO_CONFIDENCE = 'legend.no-confidence';
const LEVELS = ['high', 'medium', 'low'] as const;

/** What the colours mean, or that this model tells nothing. */
function Legend({ draft }: { draft: Draft }): JSX.Element {
  const missing: [boolean, Key][] = [
    [draft.has_confidence, draft.calibrated_on === '' ? 'legend.uncalibrated' : NO_CONFIDENCE],
    [draft.has_evidence, 'legend.no-evidence'],
  ];
  return (
    <div class="legend quiet">
      {draft.has_confidence && (
        <span>
          {t('legend.confidence')}{' '}
          {LEVELS.map((level) => (
            <span key={level} class={`key ${level}`}>
              {t(`confidence.${level}`)}
            </span>
          ))}
        </span>
      )}
      {draft.has_confidence && (
        <span>{t('legend.calibrated', { set: draft.calibrated_on ?? '' })}</span>
      )}
      {missing.map(([known, text]) => !known && <span key={text}>{t(text)}</span>)}
    </div>
  );
}

const anyInSight = (): boolean => inSight().length > 0;

/** Sentences that are in sight: none while another tab is open. */
function inSight(): HTMLElement[] {
  const all = [...document.querySelectorAll<HTMLElement>('[data-sentence]')];
  return all.filter((one) => !one.closest('[hidden]'));
}

/** Move the focus by so many sentences; from nowhere it goes to the first. */
function step(by: number): void {
  const all = inSight();
  const now = all.findIndex((one) => one === document.activeElement);
  const next = now < 0 ? all[0] : all[Math.min(all.length - 1, Math.max(0, now + by))];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}
