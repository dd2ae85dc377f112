import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { language, t } from './i18n/i18n';
import { usePlace } from './router';

/** The page of the present address. */
export function Application(): JSX.Element {
  const place = usePlace();
  useEffect(() => {
    document.documentElement.lang = language.value;
  }, [language.value]);
  switch (place.page) {
    default:
      return (
        <main class="notice">
          <p>{t('application.unknown')}</p>
          <a href="/">{t('application.home')}</a>
        </main>
      );
  }
}
