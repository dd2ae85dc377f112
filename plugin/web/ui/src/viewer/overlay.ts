/**
 * A heat map over one pane: a canvas above the images, drawn again whenever they are.
 *
 * Where a point of the canvas lies in the patient is asked of the engine each time. So it holds for
 * stacks and planes, and through zoom, moves and scrolling, and nothing of the images is touched.
 */
import * as core from '@cornerstonejs/core';
import { type HeatMap, paint } from './heat';

/** Pixels of the page for each of the map: a map is coarse, and is drawn while images scroll. */
const STEP = 3;

export class Overlay {
  private readonly canvas = document.createElement('canvas');
  private readonly redraw = (): void => this.draw();
  private map: HeatMap | null = null;

  constructor(private readonly viewport: core.Types.IViewport) {
    this.canvas.className = 'viewer-heat-map';
    viewport.element.addEventListener(core.Enums.Events.IMAGE_RENDERED, this.redraw);
  }

  show(map: HeatMap | null): void {
    this.map = map;
    if (map) this.viewport.canvas.after(this.canvas);
    else this.canvas.remove();
    this.draw();
  }

  /** From 0, which is nothing, to 1. */
  opacity(opacity: number): void {
    this.canvas.style.opacity = String(opacity);
  }

  close(): void {
    this.viewport.element.removeEventListener(core.Enums.Events.IMAGE_RENDERED, this.redraw);
    this.canvas.remove();
  }

  private draw(): void {
    const { clientWidth, clientHeight } = this.viewport.canvas;
    const columns = Math.ceil(clientWidth / STEP);
    const rows = Math.ceil(clientHeight / STEP);
    if (!this.map || !columns || !rows) return;
    const [width, height] = [columns * STEP, rows * STEP];
    const corners = {
      topLeft: this.viewport.canvasToWorld([0, 0]),
      topRight: this.viewport.canvasToWorld([width, 0]),
      bottomLeft: this.viewport.canvasToWorld([0, height]),
    };
    const image = new ImageData(paint(this.map, corners, columns, rows), columns, rows);
    Object.assign(this.canvas, { width: columns, height: rows });
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.canvas.getContext('2d')?.putImageData(image, 0, 0);
  }
}
