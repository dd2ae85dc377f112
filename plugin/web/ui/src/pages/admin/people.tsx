import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { address } from '../../api/admin';
import {
  type Person,
  ROLES,
  addPerson,
  removePerson,
  setPassword,
  setRoles,
} from '../../api/people';
import { momentOf } from '../../i18n/dates';
import { Ask, Choices, Field, textOf } from './asking';
import { Confirm, Problem, Table, useDoing, useTold } from './parts';
import { TokensPart } from './tokens';
import { type Word, w } from './words';

type Asking = { what: 'add' } | { what: 'roles' | 'password' | 'remove'; person: Person };

/** Who may sign in, and which programs have a token. */
export function PeoplePage(): JSX.Element {
  const { told, problem, again } = useTold<{ users: Person[] }>(address('users', {}));
  const [asking, setAsking] = useState<Asking | null>(null);
  const doing = useDoing(again);
  const act = (action: () => Promise<void>): void => {
    setAsking(null);
    doing.run(action);
  };
  return (
    <>
      <Problem text={doing.problem ?? problem} />
      {told && <Known people={told.users} onAsk={setAsking} />}
      <div class="actions">
        <button disabled={doing.busy} onClick={() => setAsking({ what: 'add' })}>
          {w('people.add')}
        </button>
      </div>
      {asking && <Question asking={asking} onClose={() => setAsking(null)} onDone={act} />}
      <TokensPart />
    </>
  );
}

function Known({ people, onAsk }: { people: Person[]; onAsk: (one: Asking) => void }): JSX.Element {
  const actions = ['roles', 'password', 'remove'] as const;
  return (
    <Table
      caption="people.users"
      rows={people}
      keyOf={(one) => one.name}
      columns={[
        { title: 'people.name', cell: (one) => one.name },
        { title: 'people.display', cell: (one) => one.display_name },
        { title: 'people.roles', cell: (one) => one.roles.map(roleOf).join(', ') },
        { title: 'people.sign-in', cell: wayOf },
        {
          title: 'action',
          cell: (one) => (
            <span class="row-actions">
              {actions.map((what) => (
                <button key={what} onClick={() => onAsk({ what, person: one })}>
                  {w(`people.${what}`)}
                </button>
              ))}
            </span>
          ),
        },
      ]}
    />
  );
}

interface Asked {
  asking: Asking;
  onClose: () => void;
  onDone: (action: () => Promise<void>) => void;
}

function Question({ asking, onClose, onDone }: Asked): JSX.Element {
  const title = w(`people.${asking.what}`);
  if (asking.what === 'add') {
    const send = (typed: FormData): void =>
      onDone(() =>
        addPerson({
          name: textOf(typed, 'name'),
          display_name: textOf(typed, 'display_name'),
          roles: chosen(typed),
          password: textOf(typed, 'password'),
        }),
      );
    return (
      <Ask title={title} onClose={onClose} onSend={send}>
        <Field name="name" label="people.name" maxLength={64} required />
        <Field name="display_name" label="people.display" maxLength={128} />
        <Roles given={['reader']} />
        <NewPassword />
      </Ask>
    );
  }
  const { name, roles } = asking.person;
  if (asking.what === 'remove')
    return (
      <Confirm
        title={title}
        text={w('people.remove.text', { name })}
        action={title}
        danger
        onClose={onClose}
        onDone={() => onDone(() => removePerson(name))}
      />
    );
  const send = (typed: FormData): void =>
    onDone(() =>
      asking.what === 'roles'
        ? setRoles(name, chosen(typed))
        : setPassword(name, textOf(typed, 'password')),
    );
  return (
    <Ask title={`${title}: ${name}`} onClose={onClose} onSend={send}>
      {asking.what === 'roles' ? <Roles given={roles} /> : <NewPassword />}
    </Ask>
  );
}

function Roles({ given }: { given: readonly string[] }): JSX.Element {
  return <Choices label="people.roles" name="role" all={ROLES} given={given} textOf={roleOf} />;
}

function NewPassword(): JSX.Element {
  return (
    <Field
      name="password"
      label="people.new-password"
      type="password"
      autocomplete="new-password"
      minLength={12}
      maxLength={1024}
      required
    />
  );
}

function chosen(typed: FormData): Person['roles'] {
  return ROLES.filter((role) => typed.getAll('role').includes(role));
}

function roleOf(role: string): string {
  return w(`role.${role}` as Word);
}

function wayOf(person: Person): string {
  if (person.directory === 'loopback') return w('people.this-machine');
  if (person.directory) return w('people.directory', { name: person.directory });
  const locked = person.locked_until && Date.parse(person.locked_until) > Date.now();
  return locked ? w('people.locked', { time: momentOf(person.locked_until) }) : w('people.here');
}
