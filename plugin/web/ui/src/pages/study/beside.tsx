import type { ComponentChildren, JSX } from 'preact';
import { type SimilarCase, loadSimilar } from '../../api/beside';
import { dayOf } from '../../i18n/dates';
import { t } from '../../i18n/i18n';
import { told } from '../../i18n/refusals';
import { pathOf } from '../../router';
import { useLoaded } from './loaded';

/** Studies of other patients that look alike to the model. */
export function Similar({ study }: { study: string }): JSX.Element {
  const { told: found, problem } = useLoaded(() => loadSimilar(study), [study]);
  return (
    <div class="panel">
      <p class="warning">{t('similar.about')}</p>
      {found && <p class="quiet">{t('similar.of', { n: found.of })}</p>}
      {found?.cases.map((one) => (
        <SimilarCard key={one.study_instance_uid} found={one} />
      ))}
      <p class="problem" role="alert">
        {problem && told(problem)}
      </p>
    </div>
  );
}

function SimilarCard({ found }: { found: SimilarCase }): JSX.Element {
  return (
    <Card
      study={found.study_instance_uid}
      title={[dayOf(found.date), found.description ?? '']}
      report={<Report text={found.report} />}
    >
      {t('similar.alike', { n: Math.round(100 * found.similarity) })}
    </Card>
  );
}

interface CardGiven {
  /** Where it can be opened here. */
  study: string | null;
  title: string[];
  report: JSX.Element;
  children: ComponentChildren;
}

/** A study that is not the present one. */
export function Card({ study, title, report, children }: CardGiven): JSX.Element {
  return (
    <article class="card">
      <h2>{title.filter(Boolean).join(' · ')}</h2>
      <p class="quiet">
        {children}{' '}
        {study && (
          <a href={pathOf({ page: 'study', study })} target="_blank" rel="noreferrer">
            {t('beside.open')}
          </a>
        )}
      </p>
      {report}
    </article>
  );
}

/** The text that is known of a study here. */
export function Report({ text }: { text: string | null }): JSX.Element {
  if (!text) return <p class="quiet">{t('beside.no-report')}</p>;
  return (
    <details>
      <summary>{t('beside.report')}</summary>
      <p class="text">{text}</p>
    </details>
  );
}
