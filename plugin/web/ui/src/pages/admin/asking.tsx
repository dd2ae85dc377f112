/** Forms of the administrator's pages: what is asked for, in a dialog. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Dialog } from '../../components/dialog';
import { t } from '../../i18n/i18n';
import { type Word, w } from './words';

interface Asked {
  title: string;
  onClose: () => void;
  onSend: (typed: FormData) => void;
  children: ComponentChildren;
}

/** Ask for something, and hand on what was typed. */
export function Ask({ title, onClose, onSend, children }: Asked): JSX.Element {
  const send = (event: SubmitEvent): void => {
    event.preventDefault();
    onSend(new FormData(event.currentTarget as HTMLFormElement));
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={send}>
        {children}
        <div class="actions">
          <button type="button" onClick={onClose}>
            {t('dialog.cancel')}
          </button>
          <button class="main">{w('save')}</button>
        </div>
      </form>
    </Dialog>
  );
}

interface Line {
  label: Word;
  name: string;
  type?: 'text' | 'password' | 'number';
  autocomplete?: 'off' | 'new-password';
  min?: number;
  max?: number;
  minLength?: number;
  maxLength?: number;
  required?: boolean;
  value?: string;
}

/** One line to type into. */
export function Field({ label, ...input }: Line): JSX.Element {
  return (
    <label class="field">
      {w(label)}
      <input autocomplete="off" {...(input as JSX.IntrinsicElements['input'])} />
    </label>
  );
}

interface Several<T extends string> {
  label: Word;
  name: string;
  all: readonly T[];
  given: readonly string[];
  textOf: (one: T) => string;
}

/** Some of several; one at least. */
export function Choices<T extends string>(several: Several<T>): JSX.Element {
  const { label, name, all, given, textOf } = several;
  const place = useRef<HTMLFieldSetElement>(null);
  // Browsers know a box that must be checked, and not one of several
  const check = (): void => {
    const boxes = [...(place.current?.querySelectorAll('input') ?? [])];
    const none = !boxes.some((one) => one.checked);
    boxes[0]?.setCustomValidity(none ? w('choose-one') : '');
  };
  useEffect(check, []);
  return (
    <fieldset ref={place} onChange={check}>
      <legend>{w(label)}</legend>
      {all.map((one) => (
        <label key={one} class="choice">
          <input type="checkbox" name={name} value={one} defaultChecked={given.includes(one)} />
          {textOf(one)}
        </label>
      ))}
    </fieldset>
  );
}

/** What was typed into a field. */
export function textOf(typed: FormData, name: string): string {
  const value = typed.get(name);
  return typeof value === 'string' ? value : '';
}
