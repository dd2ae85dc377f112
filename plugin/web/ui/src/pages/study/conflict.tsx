import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { Dialog } from '../../components/dialog';
import type { Section } from '../../draft/autosave';
import type { Conflict, Editing } from '../../draft/editing';
import { momentOf } from '../../i18n/dates';
import { headingOf, t } from '../../i18n/i18n';
import { Difference } from './changes';

/** Two readers changed the same text: both stand side by side until one has chosen. */
export function ConflictDialog({ editing }: { editing: Editing }): JSX.Element | null {
  const conflict = editing.conflict.value;
  return conflict && <Choice conflict={conflict} onChoose={(text) => editing.resolve(text)} />;
}

interface Given {
  conflict: Conflict;
  onChoose: (sections: Section[]) => void;
}

function Choice({ conflict: { theirs, mine }, onChoose }: Given): JSX.Element {
  const [left, setLeft] = useState(false);
  const name = theirs.saved_by ?? t('conflict.somebody');
  // Nothing is lost by Escape: the text stays in this browser, and the question comes back
  if (left) return <Later onBack={() => setLeft(false)} />;
  return (
    <Dialog title={t('conflict.title', { name })} wide onClose={() => setLeft(true)}>
      <p>{t('conflict.about', { name, at: momentOf(theirs.saved_at) })}</p>
      <div class="two">
        <Side title={t('conflict.theirs', { name })} sections={theirs.sections} other={mine} />
        <Side title={t('conflict.mine')} sections={mine} other={theirs.sections} />
      </div>
      <div class="actions">
        <button onClick={() => onChoose(theirs.sections)}>{t('conflict.take-theirs')}</button>
        <button onClick={() => onChoose(joined(theirs.sections, mine))}>
          {t('conflict.take-both')}
        </button>
        <button class="main" onClick={() => onChoose(mine)}>
          {t('conflict.take-mine')}
        </button>
      </div>
    </Dialog>
  );
}

function Later({ onBack }: { onBack: () => void }): JSX.Element {
  return (
    <p class="warning" role="alert">
      {t('conflict.open')} <button onClick={onBack}>{t('conflict.choose')}</button>
    </p>
  );
}

interface SideGiven {
  title: string;
  sections: readonly Section[];
  other: readonly Section[];
}

function Side({ title, sections, other }: SideGiven): JSX.Element {
  return (
    <section>
      <h3>{title}</h3>
      {sections.map((one) => (
        <div key={one.heading}>
          <h4>{headingOf(one)}</h4>
          <Difference before={textOf(other, one.heading)} after={one.text} onlyAfter />
        </div>
      ))}
    </section>
  );
}

/** Both texts of each section, one below the other, to be edited into one. */
export function joined(theirs: readonly Section[], mine: readonly Section[]): Section[] {
  return theirs.map((section) => {
    const own = textOf(mine, section.heading);
    const same = own.trim() === section.text.trim();
    return same ? section : { ...section, text: `${section.text}\n\n${own}`.trim() };
  });
}

function textOf(sections: readonly Section[], heading: string): string {
  return sections.find((one) => one.heading === heading)?.text ?? '';
}
