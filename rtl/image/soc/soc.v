// A system in simulation: a PicoRV32, its program, a flash with the image, memory, and the accelerator.
// Written by `codeword compile --soc`; firmware.c beside it is what runs. In this directory, with the Verilog of
// the accelerator in `rtl` and picorv32.v (Python package pythondata-cpu-picorv32) here:
//
//   $ riscv64-unknown-elf-gcc -march=rv32i -mabi=ilp32 -Os -ffreestanding -nostdlib -I rtl -T firmware.ld \
//       -o firmware.elf firmware.c -lgcc
//   $ riscv64-unknown-elf-objcopy -O binary firmware.elf firmware.bin
//   $ od -An -v -tx4 -w4 firmware.bin > firmware.hex
//   $ verilator --binary --timing -Wno-lint -Wno-fatal --top-module soc soc.v axi_memory.v picorv32.v rtl/*.v
//   $ obj_dir/Vsoc
//
// Addresses: 0x00000000 program and data; 0x10000000 registers of the accelerator; 0x20000000 console, a byte to
// print, and at +4 the end of the simulation; 0x40000000 flash; the memory image's own address: memory.
`timescale 1ns/1ns

module soc;
@SYSTEM@
  localparam RAM_WORDS = 16384;    // of 32 bits: program, data, stack
  localparam LIMIT = @LIMIT@;      // cycles
  localparam CONTROL = 12'h@CONTROL@;  // the register that starts the accelerator

  // The processor. Its interrupt 3 is the accelerator's.
  wire mem_valid;
  reg mem_ready;
  wire [31:0] mem_addr, mem_wdata;
  reg [31:0] mem_rdata;
  wire [3:0] mem_wstrb;
  picorv32 #(.ENABLE_IRQ(1), .BARREL_SHIFTER(1), .STACKADDR(4 * RAM_WORDS)) cpu (
    .clk(clk), .resetn(~rst), .irq({28'd0, irq, 3'd0}), .mem_valid(mem_valid), .mem_ready(mem_ready),
    .mem_addr(mem_addr), .mem_wdata(mem_wdata), .mem_wstrb(mem_wstrb), .mem_rdata(mem_rdata));

  reg [31:0] ram [0:RAM_WORDS-1];
  reg [63:0] flash [0:WORDS-1];

  // Registers: the processor waits for the response, whatever it is.
  reg awvalid, wvalid, arvalid;
  assign s_axil_awaddr = mem_addr[11:0];
  assign s_axil_awprot = 0;
  assign s_axil_awvalid = awvalid;
  assign s_axil_wdata = mem_wdata;
  assign s_axil_wstrb = mem_wstrb;
  assign s_axil_wvalid = wvalid;
  assign s_axil_bready = 1;
  assign s_axil_araddr = mem_addr[11:0];
  assign s_axil_arprot = 0;
  assign s_axil_arvalid = arvalid;
  assign s_axil_rready = 1;

  wire request = mem_valid & ~mem_ready;
  wire [31:0] word = (mem_addr - BASE[31:0]) >> 3;
  integer lane;
  reg busy;
  always @(posedge clk) begin
    mem_ready <= 0;
    restart <= 0;
    if (rst) begin
      {busy, awvalid, wvalid, arvalid} <= 0;
    end else if (busy) begin  // an access of a register
      if (s_axil_awready) awvalid <= 0;
      if (s_axil_wready) wvalid <= 0;
      if (s_axil_arready) arvalid <= 0;
      if (s_axil_bvalid | s_axil_rvalid) begin
        mem_rdata <= s_axil_rdata;
        {busy, mem_ready} <= 2'b01;
      end
    end else if (request) begin
      if (mem_addr[31:28] == 4'h1) begin
        busy <= 1;
        {awvalid, wvalid, arvalid} <= {{2{mem_wstrb != 0}}, mem_wstrb == 0};
        restart <= mem_wstrb[0] & mem_addr[11:0] == CONTROL & mem_wdata[0];  // DRAM begins with a run
      end else begin
        mem_ready <= 1;
        if (mem_addr < 4 * RAM_WORDS) begin
          mem_rdata <= ram[mem_addr >> 2];
          for (lane = 0; lane < 4; lane = lane + 1)
            if (mem_wstrb[lane]) ram[mem_addr >> 2][8*lane +: 8] <= mem_wdata[8*lane +: 8];
        end else if (mem_addr == 32'h20000000) begin
          $write("%c", mem_wdata[7:0]);
        end else if (mem_addr == 32'h20000004) begin
          if (mem_wdata != 0) $display("FAIL: firmware ends with %0d", mem_wdata);
          $finish;
        end else if (mem_addr[31:28] == 4'h4) begin
          mem_rdata <= flash[mem_addr[27:3]][32*mem_addr[2] +: 32];
        end else if (word < WORDS) begin
          mem_rdata <= memory[word][32*mem_addr[2] +: 32];
          for (lane = 0; lane < 4; lane = lane + 1)
            if (mem_wstrb[lane]) memory[word][32*mem_addr[2] + 8*lane +: 8] <= mem_wdata[8*lane +: 8];
        end else begin
          $display("FAIL: the processor asks for address %h", mem_addr);
          $finish;
        end
      end
    end
  end

  // From the write that starts the accelerator to its interrupt, and how long the command buffers fill before.
  reg [31:0] started, waited;
  reg told, first;
  always @(posedge clk) begin
    if (awvalid & s_axil_awready & mem_addr[11:0] == CONTROL & mem_wdata[0]) begin
      {told, first} <= 2'b01;
      started <= now;
    end
    if (begin_layer & first) {first, waited} <= {1'b0, now - started};
    if (irq & ~told) begin
      told <= 1;
      $display("bus: %0d cycles from start to interrupt, %0d of them until the first layer begins",
               now - started, waited);
    end
  end

  initial begin
    $readmemh("firmware.hex", ram);
    $readmemh("memory.hex", flash);
    if (TRANSFERS != 0) $readmemh("dram.hex", dram.table_, 0, TRANSFERS - 1);
    clk = 0;
    rst = 1;
    told = 1;
    repeat (4) @(negedge clk);
    rst = 0;
    while (now < LIMIT) @(negedge clk);
    $display("FAIL: nothing after %0d cycles", LIMIT);
    $finish;
  end
endmodule
