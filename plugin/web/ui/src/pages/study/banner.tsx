import type { JSX } from 'preact';
import { isRadiologist } from '../../api/session';
import { type Draft, modelOf } from '../../api/studies';
import type { Editing } from '../../draft/editing';
import { t } from '../../i18n/i18n';
import { told } from '../../i18n/refusals';
import { draftTextOf } from './changes';
import type { Opened } from './opened';

/** Notices of the report object that the banner says in the reader's language. */
const SAID = /^(AI DRAFT|Draft \d+ of [^,]*$|Demonstration model)/;

/** What this text is: it stays in sight, whatever is scrolled. */
export function Banner({ draft, editing, problem }: Opened & { draft: Draft }): JSX.Element {
  const accepted = editing?.review.value.state === 'accepted';
  return (
    <header class={`banner ${accepted ? 'accepted' : ''}`}>
      <strong>{t(accepted ? 'banner.accepted' : 'banner.draft')}</strong>
      <span>{t('banner.model', { name: modelOf(draft) })}</span>
      {draft.state === 'abstained' && <p>{t('banner.abstained')}</p>}
      {draft.model.demonstration && <span>{t('banner.demonstration')}</span>}
      {editing && <Newer draft={draft} editing={editing} />}
      {problem && <p role="alert">{told(problem)}</p>}
      {draft.notices
        .filter((notice) => !SAID.test(notice))
        .map((notice) => (
          <p key={notice}>{notice}</p>
        ))}
    </header>
  );
}

/** A draft that came after the text was begun: the reader chooses what to go on with. */
function Newer({ draft, editing }: { draft: Draft; editing: Editing }): JSX.Element | null {
  const own = editing.review.value.draft_revision;
  if (own === draft.revision) return null;
  const goOn = async (withNew: boolean): Promise<void> => {
    if (!(await editing.flush()) || !(await editing.decide('reopen')) || !withNew) return;
    const sections = editing.sections.value;
    editing.change(
      sections.map((one) => ({ ...one, text: draftTextOf(draft, one) })),
      true,
    );
  };
  return (
    <p role="alert">
      {t('banner.newer', { revision: draft.revision, own })}{' '}
      {isRadiologist() && (
        <>
          <button onClick={() => void goOn(false)}>{t('banner.keep-text')}</button>{' '}
          <button onClick={() => void goOn(true)}>{t('banner.take-draft')}</button>
        </>
      )}
    </p>
  );
}
