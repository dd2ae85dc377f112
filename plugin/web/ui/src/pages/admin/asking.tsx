/** Forms of the administrator's pages: what is asked for, in a dialog. */
import type { ComponentChildren, JSX } from 'preact';
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

type Input = Pick<
  JSX.IntrinsicElements['input'],
  'type' | 'min' | 'max' | 'minLength' | 'maxLength' | 'required' | 'autocomplete' | 'value'
>;

/** One line to type into. */
export function Field({ label, ...input }: Input & { label: Word; name: string }): JSX.Element {
  return (
    <label class="field">
      {w(label)}
      <input autocomplete="off" {...input} />
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
  // Browsers ask for each box that is required, and for none of several
  const check = (event: Event): void => {
    const boxes = [...(event.currentTarget as HTMLElement).querySelectorAll('input')];
    const none = !boxes.some((one) => one.checked);
    boxes[0]?.setCustomValidity(none ? w('choose-one') : '');
  };
  return (
    <fieldset ref={(place) => place && check({ currentTarget: place } as never)} onChange={check}>
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
