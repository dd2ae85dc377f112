import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { type Templates, dropTemplate, keepTemplate } from '../../api/templates';
import { Dialog } from '../../components/dialog';
import type { Section } from '../../draft/autosave';
import type { Template } from '../../draft/macros';
import { headingOf, language, t } from '../../i18n/i18n';
import { told } from '../../i18n/refusals';

interface Given {
  templates: Templates;
  sections: readonly Section[];
  onInsert: (text: string, heading: string | null) => void;
  onChanged: () => void;
  onClose: () => void;
}

/** Texts to put into the report, and those that a reader keeps. */
export function TemplateDialog(given: Given): JSX.Element {
  const { templates, onInsert, onChanged } = given;
  const [problem, setProblem] = useState('');
  const change = (done: Promise<void>): void => {
    done.then(
      () => {
        setProblem('');
        onChanged();
      },
      (error: unknown) => setProblem(told(error)),
    );
  };
  const all = [
    ...templates.house.map((one) => ({ ...one, own: false })),
    ...templates.mine.map((one) => ({ ...one, own: true })),
  ];
  return (
    <Dialog title={t('templates.title')} onClose={given.onClose}>
      <p class="quiet">{t('templates.about')}</p>
      <ul class="templates">
        {all.map((one) => (
          <li key={`${one.own}-${one.name}`}>
            <button onClick={() => onInsert(one.text, one.heading)}>
              <strong>{one.name}</strong>{' '}
              <span class="quiet">{t(one.own ? 'templates.mine' : 'templates.house')}</span>
              <span class="text">{one.text}</span>
            </button>
            {one.own && (
              <button
                class="plain"
                aria-label={t('templates.drop', { name: one.name })}
                onClick={() => change(dropTemplate(one.name))}
              >
                ✕
              </button>
            )}
          </li>
        ))}
      </ul>
      <Keep sections={given.sections} onKeep={(template) => change(keepTemplate(template))} />
      <p class="problem" role="alert">
        {problem}
      </p>
    </Dialog>
  );
}

interface KeepGiven {
  sections: readonly Section[];
  onKeep: (template: Template) => void;
}

function Keep({ sections, onKeep }: KeepGiven): JSX.Element {
  const send = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    onKeep(templateOf(new FormData(form)));
    form.reset();
  };
  return (
    <details>
      <summary>{t('templates.keep')}</summary>
      <form class="fields" onSubmit={send}>
        <label>
          {t('templates.name')}
          <input name="name" required maxLength={40} pattern="[\p{L}\p{N}_\-]+" />
        </label>
        <label>
          {t('templates.section')}
          <select name="heading">
            <option value="">{t('templates.any-section')}</option>
            {sections.map((one) => (
              <option key={one.heading} value={one.heading}>
                {headingOf(one)}
              </option>
            ))}
          </select>
        </label>
        <label>
          {t('templates.text')}
          <textarea name="text" required rows={3} />
        </label>
        <div class="actions">
          <button class="main">{t('templates.save')}</button>
        </div>
      </form>
    </details>
  );
}

function templateOf(form: FormData): Template {
  const said = (name: string): string => {
    const value = form.get(name);
    return typeof value === 'string' ? value : '';
  };
  return {
    name: said('name'),
    kind: 'macro',
    heading: said('heading') || null,
    text: said('text'),
    language: language.value,
  };
}
