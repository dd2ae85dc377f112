import type { JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Templates } from '../../api/templates';
import { type Typed, expanded } from '../../draft/macros';

interface Given {
  label: string;
  text: string;
  heading: string;
  templates: Templates;
  onText: (text: string, whole: boolean) => void;
  onKey?: (event: KeyboardEvent) => void;
  onBlur?: () => void;
  onFocus?: () => void;
  focused?: boolean;
  readOnly?: boolean;
}

/** A text in which `.name` and Tab write a macro out; Tab alone leaves it, as everywhere. */
export function TextArea(given: Given): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    if (!given.focused || !field.current) return;
    field.current.focus();
    field.current.setSelectionRange(given.text.length, given.text.length);
  }, []);
  const press = (event: KeyboardEvent): void => {
    const written = event.key === 'Tab' && !event.shiftKey && macroAt(field.current, given);
    if (!written) {
      given.onKey?.(event);
      return;
    }
    event.preventDefault();
    given.onText(written.text, true);
    // After the new text stands in the field
    requestAnimationFrame(() => field.current?.setSelectionRange(written.caret, written.caret));
  };
  return (
    <textarea
      ref={field}
      aria-label={given.label}
      value={given.text}
      readOnly={given.readOnly}
      spellcheck
      onInput={(event) => given.onText(event.currentTarget.value, false)}
      onKeyDown={press}
      onBlur={given.onBlur}
      onFocus={given.onFocus}
    />
  );
}

function macroAt(field: HTMLTextAreaElement | null, given: Given): Typed | null {
  if (!field || given.readOnly) return null;
  const typed = { text: field.value, caret: field.selectionStart };
  return expanded(typed, given.heading, given.templates.mine, given.templates.house);
}
