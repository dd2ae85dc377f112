import { afterEach, describe, expect, it } from 'vitest';
import { type Shortcut, meant, singleKeys, switchSingleKeys } from './keys';

const letter: Shortcut = { keys: ['a'], text: 'keys.help', action: () => undefined };
const undo: Shortcut = { ...letter, keys: ['z'], control: true, shift: false };
const redo: Shortcut = { ...letter, keys: ['Z'], control: true, shift: true };
const all = [letter, undo, redo];

const press = (init: KeyboardEventInit, target: Element = document.body): KeyboardEvent => {
  const event = new KeyboardEvent('keydown', { bubbles: true, ...init });
  target.dispatchEvent(event);
  return event;
};

describe('a key', () => {
  afterEach(() => switchSingleKeys(true));

  it('does its one thing, unless somebody is typing', () => {
    expect(meant(press({ key: 'a' }), all)).toBe(letter);
    const field = document.body.appendChild(document.createElement('textarea'));
    expect(meant(press({ key: 'a' }, field), all)).toBeUndefined();
    expect(meant(press({ key: 'z', ctrlKey: true }, field), all)).toBe(undo);
  });

  it('is told from the same one with Control, Shift or Alt', () => {
    expect(meant(press({ key: 'a', ctrlKey: true }), all)).toBeUndefined();
    expect(meant(press({ key: 'a', altKey: true }), all)).toBeUndefined();
    expect(meant(press({ key: 'Z', ctrlKey: true, shiftKey: true }), all)).toBe(redo);
    expect(meant(press({ key: 'z', metaKey: true }), all)).toBe(undo);
  });

  it('does nothing alone where single keys are switched off, also next time', () => {
    switchSingleKeys(false);
    expect(meant(press({ key: 'a' }), all)).toBeUndefined();
    expect(meant(press({ key: 'z', ctrlKey: true }), all)).toBe(undo);
    expect(singleKeys.value).toBe(false);
    expect(localStorage.getItem('ctscribe.single-keys')).toBe('off');
  });
});
