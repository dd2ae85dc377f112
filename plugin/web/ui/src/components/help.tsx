import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { t } from '../i18n/i18n';
import { Dialog } from './dialog';
import { type Shortcut, present, singleKeys, switchSingleKeys, useShortcuts } from './keys';

const open = signal(false);

export function showHelp(): void {
  open.value = true;
}

const SHORTCUTS: Shortcut[] = [{ keys: ['?'], text: 'keys.help', action: showHelp }];

/** The keys of the page that is open. */
export function Help(): JSX.Element | null {
  useShortcuts(SHORTCUTS);
  if (!open.value) return null;
  return (
    <Dialog title={t('keys.title')} onClose={() => (open.value = false)}>
      <dl class="keys">
        {present.value.map((one) => (
          <div key={one.text}>
            <dt>
              {namesOf(one).map((name) => (
                <kbd key={name}>{name}</kbd>
              ))}
            </dt>
            <dd>{t(one.text)}</dd>
          </div>
        ))}
      </dl>
      <label class="line">
        <input
          type="checkbox"
          checked={singleKeys.value}
          onChange={(event) => switchSingleKeys(event.currentTarget.checked)}
        />
        {t('keys.single')}
      </label>
    </Dialog>
  );
}

const SHOWN: Record<string, string> = { ArrowDown: '↓', ArrowUp: '↑', Enter: '↵' };

function namesOf({ keys, control, shift }: Shortcut): string[] {
  const before = [control ? t('keys.control') : '', shift ? t('keys.shift') : ''].filter(Boolean);
  return keys.map((key) => [...before, SHOWN[key] ?? key].join(' '));
}
