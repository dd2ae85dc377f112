import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import type { Draft, DraftSection, Sentence } from '../../api/studies';
import type { Section } from '../../draft/autosave';
import { type Piece, appended, piecesOf, replaced, withheldOf } from '../../draft/pieces';
import { t } from '../../i18n/i18n';
import type { Work } from './report';
import { TextArea } from './text-area';
import { ranges } from './ranges';

interface Given extends Work {
  section: Section;
  onText: (text: string) => void;
}

const NEW = 'new';
/** The section that the headers wrote, and no model. */
const HEADERS = 'TECHNIQUE';

/** A section, one element per sentence. */
export function Sentences(given: Given): JSX.Element {
  const { section, work, draft, onText } = given;
  const sentences = sectionOf(draft, section)?.sentences ?? [];
  const pieces = piecesOf(section.text, sentences);
  const [edited, setEdited] = useState<string | null>(null);
  const list = useRef<HTMLOListElement>(null);
  const end = (text: string, index: number, byKey: boolean): void => {
    setEdited(null);
    if (text !== section.text) onText(text);
    // Whoever works by keys goes on where they were
    if (byKey) requestAnimationFrame(() => focusSentence(list.current, index));
  };
  const ended = (piece: Piece, index: number) => (text: string | null, byKey: boolean) =>
    end(text === null ? section.text : replaced(section.text, piece, text), index, byKey);
  return (
    <>
      <ol class="sentences" ref={list}>
        {pieces.map((piece, index) => (
          <li key={piece.key}>
            {edited === piece.key ? (
              <Edited {...given} text={piece.text} onDone={ended(piece, index)} />
            ) : (
              <One
                {...given}
                piece={piece}
                onEdit={() => setEdited(piece.key)}
                onRemove={() => ended(piece, index)('', true)}
              />
            )}
          </li>
        ))}
        {edited === NEW && (
          <li key={NEW}>
            <Edited
              {...given}
              text=""
              onDone={(text, byKey) =>
                end(appended(section.text, text ?? ''), pieces.length, byKey)
              }
            />
          </li>
        )}
      </ol>
      {work.mayEdit && edited !== NEW && (
        <button class="plain add" onClick={() => setEdited(NEW)}>
          + {t('report.add')}
        </button>
      )}
      <Withheld
        sentences={withheldOf(pieces, sentences)}
        onTake={work.mayEdit ? (one) => onText(appended(section.text, one.text)) : null}
      />
    </>
  );
}

function focusSentence(list: HTMLElement | null, index: number): void {
  const all = [...(list?.querySelectorAll<HTMLElement>('[data-sentence]') ?? [])];
  all[Math.min(index, all.length - 1)]?.focus();
}

interface OneGiven extends Given {
  piece: Piece;
  onEdit: () => void;
  onRemove: () => void;
}

function One({ piece, work, draft, section, onEdit, onRemove, slice, onShow }: OneGiven): JSX.Element {
  const { sentence } = piece;
  const evidence = sentence?.evidence ?? [];
  const leans = evidence.some((one) => one.sop_instance_uid === slice?.sop_instance_uid);
  const show = (): void => {
    if (sentence) onShow({ sentence: sentence.id, evidence });
  };
  const press = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || !work.mayEdit) return;
    if (event.key === 'e') onEdit();
    else if (event.key === 'Delete') onRemove();
    else return;
    event.preventDefault();
  };
  return (
    <div class={`sentence ${levelOf(piece)} ${leans ? 'leans' : ''}`}>
      <button
        data-sentence={piece.key}
        onClick={show}
        onDblClick={() => work.mayEdit && onEdit()}
        onKeyDown={press}
      >
        <span class="text">{piece.text}</span>
        <span class="beside">
          <Confidence piece={piece} shown={draft.has_confidence && section.heading !== HEADERS} />
          {evidence.length > 0 && <span class="slices">{slicesOf(evidence)}</span>}
          {leans && <span class="accent">{t('report.leans')}</span>}
        </span>
      </button>
      {work.mayEdit && (
        <button class="plain edit" aria-label={t('report.edit-sentence')} onClick={onEdit}>
          ✎
        </button>
      )}
    </div>
  );
}

interface ConfidenceGiven {
  piece: Piece;
  shown: boolean;
}

function Confidence({ piece, shown }: ConfidenceGiven): JSX.Element | null {
  if (piece.edited) return <span class="level">{t('confidence.edited')}</span>;
  if (!piece.sentence) return <span class="level">{t('confidence.written')}</span>;
  const level = piece.sentence.confidence?.level;
  if (!shown) return null;
  return <span class="level">{t(level ? `confidence.${level}` : 'confidence.none')}</span>;
}

/** The colour says the same word again; a text that a reader touched has none. */
function levelOf({ sentence, edited }: Piece): string {
  if (!sentence || edited) return 'own';
  return sentence.confidence?.level ?? 'unknown';
}

function slicesOf(evidence: Sentence['evidence']): string {
  const numbers = ranges(evidence.flatMap((one) => one.instance_number ?? []));
  return t(/^\d*$/.test(numbers) ? 'report.slice' : 'report.slices', { numbers });
}

interface EditedGiven extends Given {
  text: string;
  /** The text is null where the reader takes the change back. */
  onDone: (text: string | null, byKey: boolean) => void;
}

function Edited({ text, section, templates, onDone }: EditedGiven): JSX.Element {
  const [typed, setTyped] = useState(text);
  const done = useRef(false);
  // A field that is taken away loses the focus too, and must not end twice
  const end = (to: string | null, byKey: boolean): void => {
    if (done.current) return;
    done.current = true;
    onDone(to, byKey);
  };
  const press = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') end(null, true);
    else if (event.key === 'Enter' && !event.shiftKey) end(typed, true);
    else return;
    event.preventDefault();
  };
  return (
    <TextArea
      label={t('report.edit-sentence')}
      text={typed}
      heading={section.heading}
      templates={templates}
      onText={setTyped}
      onKey={press}
      onBlur={() => end(typed, false)}
      focused
    />
  );
}

interface WithheldGiven {
  sentences: Sentence[];
  onTake: ((sentence: Sentence) => void) | null;
}

/** What the model wrote and did not stand by. */
function Withheld({ sentences, onTake }: WithheldGiven): JSX.Element | null {
  if (sentences.length === 0) return null;
  return (
    <details class="withheld">
      <summary>{t('report.withheld', { n: sentences.length })}</summary>
      <ul>
        {sentences.map((one) => (
          <li key={one.id}>
            <p>{one.text}</p>
            <p class="quiet">{one.withheld && t(`withheld.${one.withheld.reason}`)}</p>
            {onTake && <button onClick={() => onTake(one)}>{t('report.take')}</button>}
          </li>
        ))}
      </ul>
    </details>
  );
}

export function sectionOf(draft: Draft, { heading }: Section): DraftSection | undefined {
  return draft.sections.find((one) => one.heading === heading);
}
