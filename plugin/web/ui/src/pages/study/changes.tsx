import type { JSX } from 'preact';
import type { Draft } from '../../api/studies';
import type { Section } from '../../draft/autosave';
import { difference, inOneLine, isEdited } from '../../draft/difference';
import { t } from '../../i18n/i18n';
import { sectionOf } from './sentences';

const TAGS = { added: 'ins', removed: 'del', same: 'span' } as const;

/** What a reader changed of a section, word by word. */
export function Changes({ draft, section }: { draft: Draft; section: Section }): JSX.Element {
  const before = draftTextOf(draft, section);
  if (!isEdited(before, section.text)) return <p class="quiet">{t('report.unchanged')}</p>;
  return <Difference before={before} after={inOneLine(section.text)} />;
}

interface Given {
  before: string;
  after: string;
  /** Leave out what was taken away: both texts stand beside each other. */
  onlyAfter?: boolean;
}

export function Difference({ before, after, onlyAfter = false }: Given): JSX.Element {
  const pieces = difference(before, after).filter((one) => !onlyAfter || one.kind !== 'removed');
  return (
    <p class="difference">
      {pieces.map(({ kind, text }, index) => {
        const Tag = TAGS[kind];
        return <Tag key={index}>{text}</Tag>;
      })}
    </p>
  );
}

/** The draft's text of a section as it entered the report, in one line. */
export function draftTextOf(draft: Draft, section: Section): string {
  // What an abstaining model says of itself is no finding, and enters no report
  if (draft.state === 'abstained' && section.heading === 'FINDINGS') return '';
  const sentences = sectionOf(draft, section)?.sentences ?? [];
  const entered = sentences.filter((one) => !one.withheld);
  return inOneLine(entered.map((one) => one.text).join(' '));
}
