import { type Inputs, useEffect, useState } from 'preact/hooks';
import { Refusal } from '../../api/client';

/** What the server answers, or why it does not; both undefined while it is asked. */
export interface Loaded<T> {
  told?: T;
  problem?: Refusal;
  again: () => void;
}

export function useLoaded<T>(load: () => Promise<T>, inputs: Inputs): Loaded<T> {
  const [answer, setAnswer] = useState<{ told?: T; problem?: Refusal }>({});
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let open = true;
    load().then(
      (told) => open && setAnswer({ told }),
      (error: unknown) => {
        if (!(error instanceof Refusal)) throw error;
        if (open) setAnswer({ problem: error });
      },
    );
    return () => {
      open = false;
    };
  }, [...inputs, turn]);
  return { ...answer, again: () => setTurn(turn + 1) };
}
