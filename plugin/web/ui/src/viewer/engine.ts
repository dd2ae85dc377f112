/** Cornerstone3D behind one door: nothing else of the pages knows it. */
import * as core from '@cornerstonejs/core';
import { init as initLoader } from '@cornerstonejs/dicom-image-loader';
import * as tools from '@cornerstonejs/tools';
import { CROSSHAIRS } from './crosshairs';
import type { HeatMap } from './heat';
import { load, type Loaded } from './loading';
import { Overlay } from './overlay';
import { rangeOf, type Preset } from './presets';
import { registerRendered, renderedOf } from './rendered';
import { dot, letterOf } from './series';

const { MouseBindings, KeyboardBindings } = tools.Enums;
const { OrientationAxis, ViewportType, Events } = core.Enums;

export type Layout = 'stack' | 'planes';
export type Drag = 'window' | 'length' | 'pan' | 'zoom';

/** What stands on the screen in the leading pane. */
export interface Place {
  sopInstance: string;
  /** What reports call the image; null where it has no number. */
  instance: number | null;
  /** From 1, in the order of places. */
  number: number;
  of: number;
}

/** The sides of the patient at the edges of a pane. */
export type Sides = Record<'left' | 'right' | 'top' | 'bottom', string>;

export interface Listener {
  /** Told of each slice that the leading pane shows. */
  onPlace: (place: Place) => void;
  /** Told when the leading pane shows an image for the first time. */
  onDrawn: () => void;
  onSides: (plane: Pane['plane'], sides: Sides) => void;
  /** Told when the browser cannot decode an image; open the series again as rendered. */
  onUndecoded: () => void;
}

export interface Wanted {
  study: string;
  series: string;
  /** Whether the server renders the images. They are a stack then, and only look like HU. */
  rendered: boolean;
}

/** A pane of the page, and the plane that it shows where there are three. */
export interface Pane {
  id: string;
  element: HTMLDivElement;
  plane: 'axial' | 'coronal' | 'sagittal';
}

const ORIENTATIONS = {
  axial: OrientationAxis.AXIAL,
  coronal: OrientationAxis.CORONAL,
  sagittal: OrientationAxis.SAGITTAL,
} as const;

const DRAGS = {
  window: tools.WindowLevelTool,
  length: tools.LengthTool,
  pan: tools.PanTool,
  zoom: tools.ZoomTool,
} as const;

const TOOLS = [
  ...Object.values(DRAGS),
  tools.StackScrollTool,
  tools.CrosshairsTool,
];

let started: Promise<void> | undefined;

/** Start the engine once for the page, and name the tools it may use. */
function start(): Promise<void> {
  started ??= Promise.resolve().then(() => {
    core.init();
    // One worker decodes while the page draws; more of them take the processor from it
    initLoader({ maxWebWorkers: Math.max(1, Math.min(4, navigator.hardwareConcurrency - 1)) });
    tools.init();
    for (const tool of TOOLS) tools.addTool(tool);
    registerRendered();
  });
  return started;
}

/** A series in one pane as a stack, or in three as planes. */
export class Engine {
  private readonly engine = new core.RenderingEngine(crypto.randomUUID());
  private readonly group: tools.Types.IToolGroup;
  private readonly resized = new ResizeObserver(() => {
    this.fit();
    // Once more: while planes are being drawn, the engine may leave a canvas as it was
    setTimeout(() => this.fit(), 300);
  });
  private readonly canPlanes: boolean;
  private overlays: Overlay[] = [];
  private cine: ReturnType<typeof setInterval> | undefined;
  private closed = false;
  private told = 0;

  private constructor(
    private readonly panes: readonly Pane[],
    private readonly layout: Layout,
    private readonly series: Loaded,
    private readonly rendered: boolean,
    private readonly listener: Listener,
  ) {
    const group = tools.ToolGroupManager.createToolGroup(this.engine.id);
    if (!group) throw new Error('this viewer is open already');
    this.group = group;
    this.canPlanes = series.isVolume && !rendered;
    core.eventTarget.addEventListener(Events.IMAGE_LOAD_FAILED, this.failed);
  }

  /**
   * Show a series at its middle slice.
   *
   * `panes` have a size. The one that shows the slices themselves leads.
   */
  static async open(
    panes: readonly Pane[],
    layout: Layout,
    of: Wanted,
    preset: Preset,
    listener: Listener,
  ): Promise<Engine> {
    await start();
    const series = await load(of.study, of.series);
    const used = series.isVolume && !of.rendered ? layout : 'stack';
    const shown = used === 'stack' ? panes.slice(0, 1) : panes;
    const made = new Engine(shown, used, series, of.rendered, listener);
    try {
      await made.show(preset);
    } catch (error) {
      made.close();
      throw error;
    }
    return made;
  }

  private fit(): void {
    if (!this.closed) this.engine.resize(true, true);
  }

  get hasPlanes(): boolean {
    return this.canPlanes;
  }

  /** Go to an instance; false where the series has none of that UID. */
  async jump(sopInstance: string): Promise<boolean> {
    const index = this.series.sopInstances.indexOf(sopInstance);
    if (index < 0) return false;
    await this.goTo(index);
    return true;
  }

  get place(): Place {
    const index = this.index;
    const { sopInstances, instanceNumbers } = this.series;
    const instance = instanceNumbers[index] ?? null;
    const of = sopInstances.length;
    return { sopInstance: sopInstances[index] ?? '', instance, number: index + 1, of };
  }

  async window(preset: Preset): Promise<void> {
    if (this.rendered) await this.renderIn(preset);
    this.look(preset);
  }

  private look(preset: Preset): void {
    for (const { id } of this.panes) {
      const viewport = this.engine.getViewport(id);
      const properties = { voiRange: rangeOf(preset) };
      if (viewport instanceof core.StackViewport) viewport.setProperties(properties);
      else if (viewport instanceof core.VolumeViewport)
        viewport.setProperties(properties, this.series.volume);
      viewport.render();
    }
  }

  /** What the left button does. The right zooms, the middle moves, the wheel scrolls. */
  drag(what: Drag): void {
    for (const tool of Object.values(DRAGS)) {
      this.group.setToolPassive(name(tool), { removeAllBindings: true });
    }
    this.activate(tools.PanTool, { mouseButton: MouseBindings.Auxiliary });
    this.activate(tools.ZoomTool, { mouseButton: MouseBindings.Secondary });
    this.activate(DRAGS[what], { mouseButton: MouseBindings.Primary });
  }

  /** Go some slices on in the leading pane; it stops at the ends. */
  async scroll(slices: number): Promise<void> {
    const last = this.series.sopInstances.length - 1;
    await this.goTo(Math.max(0, Math.min(last, this.index + slices)));
  }

  /** Play the slices in a circle, or stop. 15 a second is as fast as a reader follows. */
  play(on: boolean): void {
    clearInterval(this.cine);
    const next = (): void => void this.goTo((this.index + 1) % this.series.sopInstances.length);
    this.cine = on ? setInterval(next, 1000 / 15) : undefined;
  }

  /** Undo zoom, move, measures and window. */
  reset(preset: Preset): void {
    tools.annotation.state.removeAllAnnotations();
    for (const { id } of this.panes) {
      const viewport = this.engine.getViewport(id);
      if (viewport instanceof core.StackViewport) viewport.resetCamera();
      else if (viewport instanceof core.VolumeViewport) viewport.resetCamera();
    }
    void this.window(preset);
  }

  /** Lay a map over the images, in place of another one, or take it away. */
  overlay(map: HeatMap | null): void {
    for (const one of this.overlays) one.show(map);
  }

  /** How strong the map is laid over, from 0 to 1. */
  opacity(opacity: number): void {
    for (const one of this.overlays) one.opacity(opacity);
  }

  close(): void {
    this.closed = true;
    this.play(false);
    for (const one of this.overlays) one.close();
    core.eventTarget.removeEventListener(Events.IMAGE_LOAD_FAILED, this.failed);
    this.resized.disconnect();
    tools.ToolGroupManager.destroyToolGroup(this.engine.id);
    this.engine.destroy();
  }

  private async show(preset: Preset): Promise<void> {
    for (const pane of this.panes) {
      this.engine.enableElement(
        this.layout === 'stack'
          ? { viewportId: pane.id, element: pane.element, type: ViewportType.STACK }
          : {
              viewportId: pane.id,
              element: pane.element,
              type: ViewportType.ORTHOGRAPHIC,
              defaultOptions: { orientation: this.orientation(pane) },
            },
      );
      // With the focus, the engine would swallow every key of the page
      pane.element.removeAttribute('tabindex');
    }
    this.overlays = this.ids.map((id) => new Overlay(this.engine.getViewport(id)));
    this.bind();
    for (const event of [Events.STACK_NEW_IMAGE, Events.CAMERA_MODIFIED]) {
      this.leading?.element.addEventListener(event, () => this.tellPlace());
    }
    if (this.layout === 'stack')
      await this.setStack(preset, Math.floor(this.series.images.length / 2));
    else await this.showPlanes();
    for (const pane of this.panes) {
      this.resized.observe(pane.element);
      pane.element.addEventListener(Events.CAMERA_MODIFIED, () => this.tellSides(pane));
      this.tellSides(pane);
    }
    // Only now: the engine draws an empty pane, too
    this.leading?.element.addEventListener(Events.IMAGE_RENDERED, this.listener.onDrawn, { once: true });
    this.look(preset);
    this.tellPlace();
  }

  private tellPlace(): void {
    if (this.closed) return;
    const { place } = this;
    if (place.number !== this.told) this.listener.onPlace(place);
    this.told = place.number;
  }

  /** The leading pane shows the slices as they are, oblique ones too. */
  private orientation(pane: Pane): core.Enums.OrientationAxis {
    return pane === this.leading ? OrientationAxis.ACQUISITION : ORIENTATIONS[pane.plane];
  }

  private async setStack(preset: Preset, index: number): Promise<void> {
    const { images } = this.series;
    const asked = this.rendered ? images.map((one) => renderedOf(one, preset)) : images;
    await (this.lead as core.StackViewport).setStack(asked, index);
    const [first] = this.panes;
    if (first) tools.utilities.stackPrefetch.enable(first.element);
  }

  /** Have the server render the images in another window; zoom and moves stay. */
  private async renderIn(preset: Preset): Promise<void> {
    const stack = this.lead as core.StackViewport;
    const seen = stack.getViewPresentation();
    await this.setStack(preset, this.index);
    stack.setViewPresentation(seen);
  }

  /** What the server does not send, it does not render either: that is another fault. */
  private readonly failed = (event: Event): void => {
    const { imageId, error } = (event as CustomEvent<{ imageId: string; error: unknown }>).detail;
    const ours = this.series.images.includes(imageId);
    if (ours && !this.closed && !(error instanceof XMLHttpRequest)) this.listener.onUndecoded();
  };

  private async showPlanes(): Promise<void> {
    const { volume, images } = this.series;
    const made = await core.volumeLoader.createAndCacheVolume(volume, { imageIds: images });
    (made as unknown as { load(): void }).load();
    await core.setVolumesForViewports(this.engine, [{ volumeId: volume }], this.ids);
    await this.goTo(Math.floor(images.length / 2));
    this.group.setToolEnabled(name(tools.CrosshairsTool));
    this.activate(tools.CrosshairsTool, {
      mouseButton: MouseBindings.Primary,
      modifierKey: KeyboardBindings.Shift,
    });
  }

  private tellSides(pane: Pane): void {
    const viewport = this.closed ? undefined : this.engine.getViewport(pane.id);
    const { viewUp, viewPlaneNormal } = viewport?.getCamera() ?? {};
    if (!viewUp || !viewPlaneNormal) return;
    const [a, b, c] = viewUp;
    const [d, e, f] = viewPlaneNormal;
    const right = [b * f - c * e, c * d - a * f, a * e - b * d];
    const opposite = (direction: readonly number[]): number[] => direction.map((one) => -one);
    this.listener.onSides(pane.plane, {
      right: letterOf(right),
      left: letterOf(opposite(right)),
      top: letterOf(viewUp),
      bottom: letterOf(opposite(viewUp)),
    });
  }

  private async goTo(index: number): Promise<void> {
    if (this.closed) return;
    const { lead } = this;
    const middle = this.series.middles[index];
    if (lead instanceof core.StackViewport) await lead.setImageIdIndex(index);
    else if (lead instanceof core.VolumeViewport && middle) this.cutAt(lead, middle);
  }

  /** Move a plane along its normal until a point lies in it. */
  private cutAt(viewport: core.VolumeViewport, point: core.Types.Point3): void {
    const { focalPoint, position, viewPlaneNormal } = viewport.getCamera();
    if (!focalPoint || !position || !viewPlaneNormal) return;
    const by = dot(viewPlaneNormal, point) - dot(viewPlaneNormal, focalPoint);
    const moved = (from: core.Types.Point3): core.Types.Point3 => {
      const [x, y, z] = viewPlaneNormal;
      return [from[0] + by * x, from[1] + by * y, from[2] + by * z];
    };
    viewport.setCamera({ focalPoint: moved(focalPoint), position: moved(position) });
    viewport.render();
  }

  /** Of the slice that the leading pane shows, or lies next to. */
  private get index(): number {
    const { lead } = this;
    if (lead instanceof core.StackViewport) return lead.getCurrentImageIdIndex();
    const { focalPoint } = lead?.getCamera() ?? {};
    const { normal, middles } = this.series;
    if (!focalPoint || !normal) return 0;
    const at = dot(normal, focalPoint);
    const away = middles.map((middle) => Math.abs(dot(normal, middle) - at));
    return away.indexOf(Math.min(...away));
  }

  private get lead(): core.Types.IViewport | undefined {
    return this.leading && this.engine.getViewport(this.leading.id);
  }

  /** Of three planes, the one that the slices lie in. */
  private get leading(): Pane | undefined {
    const own = this.panes.find(({ plane }) => plane === this.series.plane);
    return (this.layout === 'planes' && own) || this.panes[0];
  }

  private get ids(): string[] {
    return this.panes.map(({ id }) => id);
  }

  private bind(): void {
    for (const tool of TOOLS) {
      if (tool === tools.CrosshairsTool && this.layout === 'stack') continue;
      this.group.addTool(name(tool), tool === tools.CrosshairsTool ? CROSSHAIRS : {});
    }
    for (const id of this.ids) this.group.addViewport(id, this.engine.id);
    this.activate(tools.StackScrollTool, { mouseButton: MouseBindings.Wheel });
    this.drag('window');
  }

  private activate(tool: Tool, binding: tools.Types.IToolBinding): void {
    this.group.setToolActive(name(tool), { bindings: [binding] });
  }
}

type Tool = { toolName: string };
const name = (tool: unknown): string => (tool as Tool).toolName;
