(* Contraction of an LSTM in the maximum norm, from the row sums of its gates. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

From Stable Require Import vectors gates.

(* a state is a pair (c, y); every gate has a matrix, which sees y, and what comes of the input *)
Record lstm := Lstm {
  units : nat;
  input : Type;
  W_in : nat -> nat -> R; W_forget : nat -> nat -> R; W_cell : nat -> nat -> R; W_out : nat ->
    nat -> R;
  u_in : input -> vec; u_forget : input -> vec; u_cell : input -> vec; u_out : input -> vec
}.

Definition gate {X} (n : nat) (W : nat -> nat -> R) (u : X ->
  vec) (y : vec) (x : X) (i : nat) : R :=
  logistic (apply n W y i + u x i).

Definition step (m : lstm) (h : vec * vec) (x : input m) : vec * vec :=
  let n := units m in let (c, y) := h in
  let c' := fun i => gate n (W_forget m) (u_forget m) y x i * c i
    + gate n (W_in m) (u_in m) y x i * tanh (apply n (W_cell m) y i + u_cell m x i) in
  (c', fun i => gate n (W_out m) (u_out m) y x i * tanh (c' i)).

(* |h - g| = max_i over the entries of c and of y *)
Definition apart (m : lstm) (h g : vec * vec) : R :=
  Rmax (vmax (fun i => Rabs (fst h i - fst g i)) (units m))
       (vmax (fun i => Rabs (snd h i - snd g i)) (units m)).

Definition row_sums (n : nat) (W : nat -> nat -> R) (L : R) : Prop :=
  forall i, (i < n)%nat -> sum (fun j => Rabs (W i j)) n <= L.

Lemma preactivation n W (u : vec) y z L d i : row_sums n W L -> (i < n)%nat -> 0 <= d ->
  (forall j, (j < n)%nat -> Rabs (y j - z j) <= d) ->
  Rabs (apply n W y i + u i - (apply n W z i + u i)) <= L * d.
Proof.
  intros HW Hi Hd Hy.
  replace (apply n W y i + u i - (apply n W z i + u i)) with (apply n W (difference y z) i)
    by (rewrite <- apply_difference; ring).
  unfold apply. eapply Rle_trans; [apply sum_abs|].
  apply Rle_trans with (sum (fun j => d * Rabs (W i j)) n).
  - apply sum_le. intros j Hj. rewrite Rabs_mult, Rmult_comm. apply Rmult_le_compat_r;
    [apply Rabs_pos|].
    now apply Hy.
  - rewrite sum_scale, Rmult_comm. apply Rmult_le_compat_r; [exact Hd | now apply HW].
Qed.

Lemma gate_difference {X} n W (u : X -> vec) y z x L d i : row_sums n W L -> (i < n)%nat -> 0
  <= d ->
  (forall j, (j < n)%nat -> Rabs (y j - z j) <= d) ->
  Rabs (gate n W u y x i - gate n W u z x i) <= L / 4 * d.
Proof.
  intros HW Hi Hd Hy. unfold gate. eapply Rle_trans; [apply logistic_lipschitz|].
  pose proof (preactivation n W (u x) y z L d i HW Hi Hd Hy). lra.
Qed.

Lemma gate_size {X} n W (u : X -> vec) y x i : Rabs (gate n W u y x i) <= 1.
Proof.
  unfold gate. pose proof (logistic_range (apply n W y i + u x i)). apply Rabs_le. lra.
Qed.

Theorem contractive_of_gate_norms (m : lstm) (inputs : input m -> Prop)
    (forget W_i W_f W_z W_o : R) :
  forget < 1 ->
  row_sums (units m) (W_in m) W_i -> row_sums (units m) (W_forget m) W_f ->
  row_sums (units m) (W_cell m) W_z -> row_sums (units m) (W_out m) W_o ->
  let domain (h : vec * vec) := forall i, (i < units m)%nat ->
    Rabs (fst h i) <= / (1 - forget) /\ Rabs (snd h i) <= 1 in
  (forall h x i, domain h -> inputs x -> (i < units m)%nat ->
    gate (units m) (W_forget m) (u_forget m) (snd h) x i <= forget) ->
  forall h g x, domain h -> domain g -> inputs x ->
  apart m (step m h x) (step m g x)
  <= formulas.contractive_of_gate_norms forget W_i W_f W_z W_o * apart m h g.
Proof.
  intros Hforget HWi HWf HWz HWo domain Hgate h g x Hh Hg Hx. set (n := units m) in *.
  set (d := apart m h g).
  assert (Hd : 0 <= d).
  { unfold d, apart. eapply Rle_trans; [apply vmax_nonneg | apply Rmax_l]. }
  assert (Hc : forall i, (i < n)%nat -> Rabs (fst h i - fst g i) <= d).
  { intros i Hi. eapply Rle_trans; [|apply Rmax_l].
    apply (vmax_ge (fun i => Rabs (fst h i - fst g i)) n i Hi). }
  assert (Hy : forall i, (i < n)%nat -> Rabs (snd h i - snd g i) <= d).
  { intros i Hi. eapply Rle_trans; [|apply Rmax_r].
    apply (vmax_ge (fun i => Rabs (snd h i - snd g i)) n i Hi). }
  destruct h as [c y], g as [e z]. cbn [fst snd] in *.
  set (rate := formulas.contractive_of_gate_norms forget W_i W_f W_z W_o).
  (* the new cell of one unit *)
  set (c' := fst (step m (c, y) x)). set (e' := fst (step m (e, z) x)).
  set (inner := forget + W_f / 4 * / (1 - forget) + (W_z + W_i / 4)).
  assert (cells : forall i, (i < n)%nat -> Rabs (c' i - e' i) <= inner * d).
  { intros i Hi. unfold c', e', step. cbn [fst]. fold n.
    replace (gate n (W_forget m) (u_forget m) y x i * c i
             + gate n (W_in m) (u_in m) y x i * tanh (apply n (W_cell m) y i + u_cell m x i)
             - (gate n (W_forget m) (u_forget m) z x i * e i
                + gate n (W_in m) (u_in m) z x i * tanh (apply n (W_cell m) z i + u_cell m x i)))
      with ((gate n (W_forget m) (u_forget m) y x i * c i - gate n (W_forget m) (u_forget m) z x i *
        e i)
        + (gate n (W_in m) (u_in m) y x i * tanh (apply n (W_cell m) y i + u_cell m x i)
           - gate n (W_in m) (u_in m) z x i * tanh (apply n (W_cell m) z i + u_cell m x i)))
             by ring.
    eapply Rle_trans; [apply Rabs_triang|].
    apply Rle_trans with ((forget * d + W_f / 4 * d * / (1 - forget)) + (1 * (W_z * d) + W_i / 4 * d
      * 1));
      [|right; unfold inner; ring].
    apply Rplus_le_compat.
    - apply product_difference.
      + pose proof (Hgate (c, y) x i Hh Hx Hi) as H. cbn [snd] in H.
        pose proof (logistic_range (apply n (W_forget m) y i + u_forget m x i)).
        unfold gate in *. rewrite Rabs_right; lra.
      + now apply Hc.
      + now apply gate_difference.
      + apply (Hg i Hi).
    - apply product_difference.
      + apply gate_size.
      + eapply Rle_trans; [apply tanh_lipschitz|]. now apply preactivation.
      + now apply gate_difference.
      + apply tanh_range. }
  assert (rate_is : rate = inner + W_o / 4).
  { unfold rate, inner, formulas.contractive_of_gate_norms. field. lra. }
  assert (some_unit : forall L W i, row_sums n W L -> (i < n)%nat -> 0 <= L).
  { intros L W i HW Hi. eapply Rle_trans;
    [|apply (HW i Hi)]. apply sum_nonneg. intros j. apply Rabs_pos. }
  assert (outputs : forall i, (i < n)%nat ->
    Rabs (snd (step m (c, y) x) i - snd (step m (e, z) x) i) <= rate * d).
  { intros i Hi. change (Rabs (gate n (W_out m) (u_out m) y x i * tanh (c' i)
      - gate n (W_out m) (u_out m) z x i * tanh (e' i)) <= rate * d).
    apply Rle_trans with (1 * (inner * d) + W_o / 4 * d * 1); [|right; rewrite rate_is; ring].
    apply product_difference.
    - apply gate_size.
    - eapply Rle_trans; [apply tanh_lipschitz | now apply cells].
    - now apply gate_difference.
    - apply tanh_range. }
  destruct (Nat.eq_dec n 0) as [E|E].
  { unfold d, apart. fold n. rewrite E. simpl. rewrite Rmax_left; lra. }
  assert (Hrate : 0 <= rate * d).
  { eapply Rle_trans; [apply Rabs_pos | apply (outputs 0%nat)]. lia. }
  unfold apart at 1. apply Rmax_lub.
  - apply vmax_le; [exact Hrate|]. intros i Hi. eapply Rle_trans; [now apply cells|].
    rewrite rate_is. pose proof (some_unit W_o (W_out m) i HWo Hi). nra.
  - apply vmax_le; [exact Hrate|]. exact outputs.
Qed.

(* without recurrent weights, with a forget gate that stands at logistic(b): the cells part by it *)
Theorem attained (b : R) :
  let forget := logistic b in
  let zero (_ _ : nat) := 0 in
  let still (_ : unit) (_ : nat) := 0 in
  let m := Lstm 1 unit zero zero zero zero still (fun _ _ => b) still still in
  let h := (fun _ => 1, fun _ => 0) in
  let g := (fun _ => 0, fun _ => 0) in
  apart m (step m h tt) (step m g tt)
  = formulas.contractive_of_gate_norms forget 0 0 0 0 * apart m h g.
Proof.
  intros forget zero still m h g. pose proof (logistic_range b) as Hf. fold forget in Hf.
  assert (out : Rabs (logistic (0 + 0) * tanh forget - logistic (0 + 0) * tanh 0) <= forget).
  { replace (logistic (0 + 0) * tanh forget - logistic (0 + 0) * tanh 0)
      with (logistic (0 + 0) * (tanh forget - tanh 0)) by ring.
    rewrite Rabs_mult. pose proof (logistic_range (0 + 0)). pose proof (tanh_lipschitz forget 0) as
      Ht.
    rewrite Rminus_0_r, (Rabs_right forget) in Ht by lra. rewrite (Rabs_right (logistic (0 + 0)))
      by lra.
    pose proof (Rabs_pos (tanh forget - tanh 0)). nra. }
  assert (tanh_0 : tanh 0 = 0) by (unfold tanh, sinh; rewrite Ropp_0; field; unfold cosh;
    rewrite Ropp_0, exp_0; lra).
  unfold formulas.contractive_of_gate_norms, apart, step, gate, apply, m, h, g.
  cbn [units W_in W_forget W_cell W_out u_in u_forget u_cell u_out fst snd sum vmax].
  unfold zero, still. rewrite !Rmult_0_l, !Rplus_0_l. fold forget. rewrite Rplus_0_l in out.
  rewrite tanh_0, !Rmult_0_r, !Rmult_1_r, !Rplus_0_r, !Rminus_0_r.
  rewrite tanh_0, !Rmult_0_r, !Rminus_0_r in out.
  rewrite ?Rabs_R0, Rabs_R1, (Rabs_right forget) by lra.
  rewrite ?tanh_0, ?Rmult_0_r, ?Rminus_0_r. pose proof (Rabs_pos (logistic 0 * tanh forget)).
  rewrite !(Rmax_right 0) by (try apply Rabs_pos; lra). rewrite (Rmax_left 1) by lra.
  rewrite Rmax_left by exact out. field. lra.
Qed.
