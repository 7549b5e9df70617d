// What a fault is to the runner.
import type { World } from './world.ts';

export interface FaultCase {
  /** As in `F5`, or `isolation-hang`: `isolation` names all of these. */
  readonly id: string;
  readonly title: string;
  /** Whether it belongs to the subset that runs with every change. */
  readonly ci: boolean;
  /** Why it cannot be played on this machine; null when it can. */
  readonly needs?: () => Promise<string | null>;
  /** Whether it compares times so closely that other cases beside it would decide: it is played after them, alone. */
  readonly isAlone?: boolean;
  /** What differs from the usual environment of the processes. */
  readonly env?: Readonly<Record<string, string>>;
  /** False: the case starts its processes itself. */
  readonly startsProcesses?: boolean;
  /**
   * Plays the fault; every check is entered with what was seen. Throws only when it could not be played.
   * @param scale of what a long case is made of: 1 is all of it
   */
  run(world: World, check: Check, scale: number): Promise<void>;
}

/** Enters one criterion: whether it held, and the figures. */
export type Check = (criterion: string, holds: boolean, seen: string | number) => void;
