import type { ComponentChildren, JSX } from 'preact';
import { session, signOut } from '../api/session';
import { LANGUAGES, chooseLanguage, language, t } from '../i18n/i18n';
import { usePlace } from '../router';
import { Help, showHelp } from './help';

/** The bar on top of every page, and the page below it. */
export function Shell({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <div class="shell">
      <a class="skip" href="#content">
        {t('shell.skip')}
      </a>
      <header class="bar">
        <a class="brand" href="/">
          ctscribe
        </a>
        <Navigation />
        <span class="grow" />
        <button class="plain" onClick={showHelp} title={t('keys.title')}>
          <kbd>?</kbd> {t('shell.keys')}
        </button>
        <LanguageChoice />
        <span class="quiet">{session.value?.user?.display_name}</span>
        <button class="plain" onClick={() => void signOut()}>
          {t('shell.sign-out')}
        </button>
      </header>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      <Help />
    </div>
  );
}

function Navigation(): JSX.Element {
  const { page } = usePlace();
  const current = (name: string) => (page === name ? { 'aria-current': 'page' as const } : {});
  return (
    <nav aria-label={t('shell.pages')}>
      <a href="/" {...current('worklist')}>
        {t('worklist.title')}
      </a>
      {session.value?.user?.roles.includes('administrator') && (
        <a href="/admin/queue" {...current('admin')}>
          {t('shell.administration')}
        </a>
      )}
    </nav>
  );
}

function LanguageChoice(): JSX.Element {
  return (
    <select
      aria-label={t('shell.language')}
      value={language.value}
      onChange={(event) => chooseLanguage(event.currentTarget.value)}
    >
      {Object.entries(LANGUAGES).map(([code, name]) => (
        <option key={code} value={code} lang={code}>
          {name}
        </option>
      ))}
    </select>
  );
}
