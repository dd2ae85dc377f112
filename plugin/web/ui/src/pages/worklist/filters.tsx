import type { JSX, Ref } from 'preact';
import type { State, Urgency } from '../../api/worklist';
import { t } from '../../i18n/i18n';
import { type Chosen, URGENCIES, VIEWS, type View, countOf } from './views';

interface Given {
  chosen: Chosen;
  choose: (change: Partial<Chosen>) => void;
  counts: Partial<Record<State, number>>;
  models: readonly string[];
  search: Ref<HTMLInputElement>;
}

export function Filters({ chosen, choose, counts, models, search }: Given): JSX.Element {
  return (
    <search class="filters">
      <div class="views" role="group" aria-label={t('worklist.views')}>
        {(Object.keys(VIEWS) as View[]).map((view) => (
          <button key={view} aria-pressed={chosen.view === view} onClick={() => choose({ view })}>
            {t(`view.${view}`)} <span class="count">{countOf(view, counts)}</span>
          </button>
        ))}
      </div>
      <input
        ref={search}
        type="search"
        aria-label={t('worklist.search')}
        placeholder={t('worklist.search')}
        value={chosen.search}
        onInput={(event) => choose({ search: event.currentTarget.value })}
      />
      <select
        aria-label={t('worklist.urgency')}
        value={chosen.urgency}
        onChange={(event) => choose({ urgency: event.currentTarget.value as Urgency | '' })}
      >
        <option value="">{t('worklist.any-urgency')}</option>
        {URGENCIES.map((one) => (
          <option key={one} value={one}>
            {t(`urgency.${one}`)}
          </option>
        ))}
      </select>
      <select
        aria-label={t('worklist.model')}
        value={chosen.model}
        onChange={(event) => choose({ model: event.currentTarget.value })}
      >
        <option value="">{t('worklist.any-model')}</option>
        {models.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
    </search>
  );
}
